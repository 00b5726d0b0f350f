"""Runs the program itself on what the chart writes."""
import os
import subprocess

import pytest


def s3seal(*arguments):
    # without the variables of the tests, which would be taken for overrides
    return subprocess.run([os.environ["S3SEAL_BIN"], *arguments], env={}, capture_output=True, text=True, check=True)


def check_config(text, etc):
    if "passphrase =" in text:
        text = text.replace("keyring/keyring.json", "keyring/sealed.json")
    path = etc / "s3seal.toml"
    path.write_text(text.replace("/etc/s3seal", str(etc)).replace("/vault/secrets", str(etc / "agent")))
    try:
        return s3seal("check-config", "--config", path).stderr
    except subprocess.CalledProcessError as error:
        pytest.fail(error.stderr)

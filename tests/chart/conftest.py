"""What the tests of the chart share."""
import os
import shutil
import subprocess

import pytest

import harness
from program import s3seal


@pytest.fixture(scope="session")
def etc(tmp_path_factory):
    """What pods have under /etc/s3seal, made by the program itself."""
    if not os.environ.get("S3SEAL_BIN"):
        pytest.skip("S3SEAL_BIN is not set")
    etc = tmp_path_factory.mktemp("etc")
    for folder in ("tls", "secrets", "keyring", "vault", "agent", "client-ca"):
        (etc / folder).mkdir()
    subprocess.run(["bash", harness.REPO / "tests/support/certificates.sh", etc / "made"], check=True, capture_output=True)
    shutil.copy(etc / "made/server-chain.pem", etc / "tls/tls.crt")
    shutil.copy(etc / "made/server.key", etc / "tls/tls.key")
    shutil.copy(etc / "made/ca.pem", etc / "client-ca/ca.crt")
    secrets = [f"secrets/{name}" for name in ("app-secret", "batch-secret", "upstream-secret", "hsm-pin", "passphrase")]
    for name in [*secrets, "vault/token", "agent/app-secret"]:
        (etc / name).write_text("a-secret-of-some-length")
        (etc / name).chmod(0o600)
    (etc / "tls/tls.key").chmod(0o600)
    for key in ("default", "managed"):
        s3seal("key", "create", "--keyring", etc / "keyring/keyring.json", key)
        sealed = ["--seal", "--passphrase-file", etc / "secrets/passphrase", "--keyring", etc / "keyring/sealed.json"]
        s3seal("key", "create", *sealed, key)
    return etc

"""The aws cli, command by command."""
import json
import os
import ssl
import urllib.request

import pytest

import bodies
from harness import Tools


@pytest.fixture
def tools(seaweedfs, tmp_path):
    return Tools(seaweedfs, tmp_path)


@pytest.fixture
def file(tmp_path):
    bodies.write_body(tmp_path / "file", 100_000, seed=3)
    return tmp_path / "file"


def test_ls_shows_plaintext_sizes(tools, bucket, key, file):
    tools.aws("s3", "cp", file, f"s3://{bucket}/{key}")
    assert tools.aws("s3", "ls", f"s3://{bucket}/{key}").stdout.split()[2] == "100000"
    summary = tools.aws("s3", "ls", "--recursive", "--summarize", f"s3://{bucket}/{key}").stdout
    assert "Total Size: 100000" in summary


def test_presigned_url_is_fetched_without_credentials(tools, bucket, key, file):
    tools.aws("s3", "cp", file, f"s3://{bucket}/{key}")
    url = tools.aws("s3", "presign", f"s3://{bucket}/{key}").stdout.strip()
    context = ssl.create_default_context(cafile=tools.endpoint.ca) if tools.endpoint.tls else None
    with urllib.request.urlopen(url, context=context) as answer:
        assert answer.read() == file.read_bytes()


def test_rm_removes(tools, bucket, key, file):
    tools.aws("s3", "cp", file, f"s3://{bucket}/{key}")
    tools.aws("s3", "rm", f"s3://{bucket}/{key}")
    missing = tools.aws("s3api", "head-object", "--bucket", bucket, "--key", key, check=False)
    assert missing.returncode != 0 and "404" in missing.stderr


def test_single_file(tools, bucket, key, file):
    tools.aws("s3", "cp", file, f"s3://{bucket}/{key}")
    tools.aws("s3", "cp", f"s3://{bucket}/{key}", tools.home / "down")
    assert (tools.home / "down").read_bytes() == file.read_bytes()


def test_sync_copies_once(tools, bucket, key, tmp_path):
    """The second sync sees the same sizes and sends nothing."""
    folder = tmp_path / "sync"
    folder.mkdir()
    for size in (0, 65537, 200_000):
        bodies.write_body(folder / str(size), size)
        os.utime(folder / str(size), (1e9, 1e9))  # listed times are whole seconds: be clearly older
    assert tools.aws("s3", "sync", folder, f"s3://{bucket}/{key}").stdout.count("upload:") == 3
    assert "upload:" not in tools.aws("s3", "sync", folder, f"s3://{bucket}/{key}").stdout


def test_s3api(tools, bucket, key, file):
    at = ["--bucket", bucket, "--key", key]
    put = json.loads(tools.aws("s3api", "put-object", *at, "--body", file, "--metadata", "colour=blue").stdout)
    head = json.loads(tools.aws("s3api", "head-object", *at).stdout)
    assert (head["ContentLength"], head["ETag"], head["Metadata"]) == (100_000, put["ETag"], {"colour": "blue"})
    got = json.loads(tools.aws("s3api", "get-object", *at, "--range", "bytes=65530-65545", "part").stdout)
    assert got["ContentRange"] == "bytes 65530-65545/100000"
    assert (tools.home / "part").read_bytes() == file.read_bytes()[65530:65546]

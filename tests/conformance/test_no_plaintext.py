"""After everything else: no file of SeaweedFS holds plaintext of any body the suite wrote."""
import json
import os
import pathlib
import subprocess

import pytest

import bodies
import harness

CONTROLS = [(size, kind) for size in (100, 5000, 200_000, 9 << 20) for kind in ("binary/octet-stream", "text/plain")]


def files_with(needle, folder):
    """grep exits with 1 when nothing is found, with 2 when it could not look."""
    done = subprocess.run(["grep", "-rlaF", "--", needle.decode(), str(folder)], capture_output=True, text=True)
    assert done.returncode in (0, 1), done.stderr
    return done.stdout.splitlines()


@pytest.fixture
def data():
    return pathlib.Path(os.environ["S3SEAL_TEST_SEAWEEDFS_DATA"])


@pytest.mark.parametrize("size,kind", CONTROLS)
def test_grep_finds_what_is_written_directly(upstreams, bucket_of, data, size, kind):
    """Positive control, for every way SeaweedFS may store a body."""
    needle = f"{bodies.CONTROL.decode()}-{size}-{kind}".encode()
    body = bodies.body(size, marker=needle)
    upstreams["seaweedfs"].boto().put_object(Bucket=bucket_of("seaweedfs"), Key=f"control/{size}/{kind}", Body=body, ContentType=kind)
    assert files_with(needle, data)


@pytest.mark.proxied
def test_no_file_of_the_upstream_holds_plaintext(data):
    assert files_with(bodies.MARKER, data) == []


@pytest.mark.proxied
def test_no_log_of_the_proxy_holds_plaintext_or_secrets(seaweedfs_http, bucket, key, home):
    client = seaweedfs_http.boto()
    client.put_object(Bucket=bucket, Key=key, Body=bodies.body(5000))
    run = home.parent
    logs = list(run.rglob("*.log"))
    assert any(log.stat().st_size for log in logs)
    keyrings = [json.loads(path.read_text()) for path in run.glob("*/keyring.json")]
    materials = [version["material"] for ring in keyrings for key in ring["keys"] for version in key["versions"]]
    assert materials
    for log in logs:
        text = log.read_bytes()
        for secret in (bodies.MARKER.decode(), harness.CLIENT_SECRET, os.environ["S3SEAL_TEST_SECRET_KEY"], *materials):
            assert secret.encode() not in text, f"{log.name} holds a secret"

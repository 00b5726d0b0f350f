"""The AWS SDK for Rust, with its defaults. The steps are in rust/src/main.rs."""
import os
import ssl
import subprocess
import urllib.request

import pytest

import bodies
import harness


@pytest.fixture(scope="session")
def program():
    """The client, built if that is still to be done."""
    target = os.environ.get("CARGO_TARGET_DIR", harness.REPO / "target")
    manifest = harness.REPO / "tests/conformance/rust/Cargo.toml"
    environment = os.environ | {"CARGO_TARGET_DIR": str(target)}
    subprocess.run(["cargo", "build", "--locked", "--quiet", "--manifest-path", manifest], env=environment, check=True)
    return f"{target}/debug/s3seal-rust-client"


def run(program, endpoint, tmp_path, *arguments):
    trust = {"SSL_CERT_FILE": str(endpoint.ca)} if endpoint.tls else {}
    return harness.Tools(endpoint, tmp_path).run(program, *arguments, env=trust)


def test_full_cycle(seaweedfs, bucket, key, tmp_path, program):
    bodies.write_body(tmp_path / "file", (12 << 20) + 3, seed=9)
    run(program, seaweedfs, tmp_path, "cycle", bucket, key, tmp_path / "file")


def test_requests_presigned_by_the_sdk(seaweedfs, bucket, key, tmp_path, program):
    data = bodies.body(100_000)
    printed = run(program, seaweedfs, tmp_path, "presign", bucket, key).stdout
    put, get = parse(printed)
    assert (put.method, get.method) == ("PUT", "GET")
    put.data = data
    for request, body in (put, b""), (get, data):
        with urllib.request.urlopen(request, context=trusting(seaweedfs)) as answer:
            assert answer.status == 200
            assert answer.read() == body


def parse(printed):
    """The requests that were printed: a line each, and the headers below it."""
    requests = []
    for line in printed.splitlines():
        method, _, url = line.partition(" ")
        if method in ("PUT", "GET"):
            requests.append(urllib.request.Request(url, method=method))
        else:
            requests[-1].add_header(*line.split(": ", 1))
    return requests


def trusting(endpoint):
    return ssl.create_default_context(cafile=endpoint.ca) if endpoint.tls else None

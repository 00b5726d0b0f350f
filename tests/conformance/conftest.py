"""Fixtures: the upstreams that tests/run started, the proxies in front of them, buckets.

With S3SEAL_CONFORMANCE_DIRECT=1 the suite runs straight at the upstreams instead: whatever fails
then is the server's own doing, or a mistake of the suite, and not s3seal's.
"""
import itertools
import os
import pathlib
import shutil
import subprocess
import tempfile

import pytest

import harness

DIRECT = os.environ.get("S3SEAL_CONFORMANCE_DIRECT") == "1"
SLOW = os.environ.get("S3SEAL_SLOW") == "1"
SEAWEEDFS = ["seaweedfs-http", "seaweedfs-https"]
CEPH = ["ceph-http", "ceph-https"]
# Ceph Pacific knows no x-amz-checksum-*: nothing may be added to what is sent there.
CHECKSUM = {"seaweedfs": "crc64nvme", "ceph": "none"}

bucket_numbers = itertools.count(1)


def pytest_collection_modifyitems(items):
    """What looks at everything the suite has written comes last."""
    items.sort(key=lambda item: item.path.name == "test_no_plaintext.py")
    if DIRECT:
        for item in items:
            if item.get_closest_marker("proxied"):
                item.add_marker(pytest.mark.skip(reason="runs straight at the upstream"))


@pytest.fixture(scope="session")
def home():
    """A fresh folder for configurations, keyring and logs of this process: xdist runs several."""
    run = os.environ.get("S3SEAL_TEST_RUN") or tempfile.mkdtemp(prefix="s3seal-conformance-")
    path = pathlib.Path(run) / os.environ.get("PYTEST_XDIST_WORKER", "alone")
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    return path


@pytest.fixture(scope="session")
def upstreams():
    """name -> the real server, reached around the proxy."""
    account = os.environ["S3SEAL_TEST_ACCESS_KEY"], os.environ["S3SEAL_TEST_SECRET_KEY"]
    return {
        name: harness.Endpoint(name, os.environ[variable], *account, proxied=False)
        for name, variable in (("seaweedfs", "S3SEAL_TEST_SEAWEEDFS"), ("ceph", "S3SEAL_TEST_CEPH"))
    }


@pytest.fixture(scope="session")
def tls(home):
    """A certificate authority and a server certificate for 127.0.0.1."""
    script = harness.REPO / "tests/support/certificates.sh"
    subprocess.run(["bash", str(script), str(home / "tls")], check=True, capture_output=True)
    return home / "tls"


@pytest.fixture(scope="session")
def keyring(home):
    path = home / "keyring.json"
    for key in ("default", "managed", "other"):
        harness.s3seal("key", "create", "--keyring", path, key)
    return path


@pytest.fixture(scope="session")
def proxies(home, upstreams, tls, keyring):
    """name -> a running proxy, started when first asked for."""
    running = {}

    def get(name):
        if name not in running:
            upstream, _, scheme = name.partition("-")
            running[name] = harness.S3Seal(
                home, upstreams[upstream], name, tls=tls if scheme == "https" else None, checksum=CHECKSUM[upstream]
            ).start()
        return running[name]

    yield get
    for name, proxy in running.items():
        assert sum(proxy.metric("s3seal_requests_total").values()) > 0, f"{name} has counted nothing"
    codes = {name: proxy.stop() for name, proxy in running.items()}
    assert set(codes.values()) <= {0}, f"SIGTERM drains and exits with 0: {codes}"


@pytest.fixture(scope="session")
def endpoints(upstreams, request):
    """name -> where clients connect."""

    def get(name):
        if not DIRECT:
            return request.getfixturevalue("proxies")(name).endpoint
        upstream, _, scheme = name.partition("-")
        if scheme == "https":
            pytest.skip("the upstream has no https listener")
        return upstreams[upstream]

    return get


@pytest.fixture(params=SEAWEEDFS + CEPH)
def endpoint(request, endpoints):
    """Every upstream over http and https: payload modes of clients differ between the two."""
    return endpoints(request.param)


@pytest.fixture(params=SEAWEEDFS)
def seaweedfs(request, endpoints):
    return endpoints(request.param)


@pytest.fixture
def seaweedfs_http(endpoints):
    return endpoints("seaweedfs-http")


@pytest.fixture
def ceph_http(endpoints):
    return endpoints("ceph-http")


@pytest.fixture(scope="session")
def bucket_of(upstreams):
    """name of an upstream -> a bucket there, the same for the whole session."""
    made = {}

    def get(upstream):
        if upstream not in made:
            made[upstream] = new_bucket(upstreams[upstream])
        return made[upstream]

    return get


def new_bucket(endpoint):
    name = f"conformance-{os.getpid()}-{next(bucket_numbers)}"
    endpoint.boto().create_bucket(Bucket=name)
    return name


@pytest.fixture
def bucket(request, bucket_of):
    """The bucket of the upstream behind whichever endpoint the test uses."""
    for fixture in ("endpoint", "seaweedfs", "seaweedfs_http", "ceph_http"):
        if fixture in request.fixturenames:
            return bucket_of(request.getfixturevalue(fixture).upstream)
    raise LookupError("the test uses no endpoint")


@pytest.fixture
def fresh_bucket(request, upstreams):
    """A bucket of this test alone, for listings."""
    for fixture in ("endpoint", "seaweedfs", "seaweedfs_http", "ceph_http"):
        if fixture in request.fixturenames:
            return new_bucket(upstreams[request.getfixturevalue(fixture).upstream])
    raise LookupError("the test uses no endpoint")


@pytest.fixture
def key(request):
    """An object key of this test alone."""
    return f"{request.node.name}".replace("[", "/").replace("]", "")

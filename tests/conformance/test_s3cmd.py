"""s3cmd with its default settings, parts of 15 MB among them."""
import pytest

import bodies
from harness import REGION, Tools
from test_copies import check, gone

MIB = 1 << 20


@pytest.fixture
def tools(seaweedfs, tmp_path):
    (tmp_path / ".s3cfg").write_text(f"""[default]
access_key = {seaweedfs.access_key}
secret_key = {seaweedfs.secret_key}
bucket_location = {REGION}
host_base = {seaweedfs.host}
host_bucket = {seaweedfs.host}
use_https = {seaweedfs.tls}
ca_certs_file = {seaweedfs.ca or ""}
max_retries = 1
""")
    return Tools(seaweedfs, tmp_path)


@pytest.fixture(params=[0, 100_000, 32 * MIB + 5], ids=["empty", "small", "multipart"])
def file(request, tmp_path):
    """(path, SHA-256)"""
    return tmp_path / "file", bodies.write_body(tmp_path / "file", request.param, seed=5)


@pytest.fixture
def url(bucket, key):
    return f"s3://{bucket}/{key}"


def test_put_and_get(tools, url, file, tmp_path):
    tools.run("s3cmd", "put", file[0], url)
    assert tools.run("s3cmd", "ls", url).stdout.split()[2] == str(file[0].stat().st_size)
    tools.run("s3cmd", "get", url, tmp_path / "down")
    assert bodies.sha256_of_file(tmp_path / "down") == file[1]


def test_copied_moved_and_modified(tools, bucket, key, url, file, tmp_path):
    tools.run("s3cmd", "put", file[0], f"{url}/source")
    tools.run("s3cmd", "cp", f"{url}/source", f"{url}/copy")
    tools.run("s3cmd", "mv", f"{url}/copy", f"{url}/moved")
    assert gone(tools.endpoint, bucket, f"{key}/copy")
    tools.run("s3cmd", "modify", "--add-header=x-amz-meta-colour:blue", f"{url}/moved")
    head = check(tools.endpoint, tmp_path, bucket, f"{key}/moved", file[1])
    assert head["Metadata"]["colour"] == "blue"
    tools.run("s3cmd", "del", "--recursive", f"{url}/")
    assert gone(tools.endpoint, bucket, f"{key}/")


def test_synced_once_by_s3cmd(tools, url, tmp_path):
    """An ETag with a dash sends s3cmd to the MD5 in its own metadata."""
    folder = tmp_path / "sync"
    folder.mkdir()
    for size in (0, 65537, 16 * MIB):
        bodies.write_body(folder / str(size), size)
    assert tools.run("s3cmd", "sync", f"{folder}/", f"{url}/").stdout.count("upload:") >= 3
    assert "upload:" not in tools.run("s3cmd", "sync", f"{folder}/", f"{url}/").stdout
    (tmp_path / "down").mkdir()
    assert tools.run("s3cmd", "sync", f"{url}/", f"{tmp_path}/down/").stdout.count("download:") >= 3
    assert "download:" not in tools.run("s3cmd", "sync", f"{url}/", f"{tmp_path}/down/").stdout
    for path in folder.iterdir():
        assert (tmp_path / "down" / path.name).read_bytes() == path.read_bytes()

"""Objects go in and come back bit-exact through each client program with its default settings."""
import pytest

import bodies
from conftest import SLOW
from harness import Tools

LARGE = (1 << 30) if SLOW else (64 << 20)


@pytest.fixture
def tools(endpoint, tmp_path):
    return Tools(endpoint, tmp_path)


@pytest.fixture
def folder(tmp_path):
    """One file of each size, each with other bytes."""
    path = tmp_path / "up"
    path.mkdir()
    for seed, size in enumerate(bodies.SIZES):
        bodies.write_body(path / f"{size}.bin", size, seed)
    return path


def assert_same_files(up, down):
    names = sorted(path.name for path in up.iterdir())
    assert sorted(path.name for path in down.iterdir()) == names
    for name in names:
        assert (down / name).read_bytes() == (up / name).read_bytes(), f"{name} came back changed"


def test_aws_cli(tools, bucket, key, folder, tmp_path):
    tools.aws("s3", "cp", "--recursive", folder, f"s3://{bucket}/{key}/")
    tools.aws("s3", "cp", "--recursive", f"s3://{bucket}/{key}/", tmp_path / "down")
    assert_same_files(folder, tmp_path / "down")


def test_s5cmd(tools, bucket, key, folder, tmp_path):
    tools.s5cmd("cp", f"{folder}/*", f"s3://{bucket}/{key}/")
    tools.s5cmd("cp", f"s3://{bucket}/{key}/*", f"{tmp_path}/down/")
    assert_same_files(folder, tmp_path / "down")


def test_rclone(tools, bucket, key, folder, tmp_path):
    tools.rclone("copy", folder, f"R:{bucket}/{key}")
    tools.rclone("copy", f"R:{bucket}/{key}", tmp_path / "down")
    assert_same_files(folder, tmp_path / "down")
    # compares sizes and, since every ETag is dashed, the bytes
    tools.rclone("check", "--download", folder, f"R:{bucket}/{key}")


@pytest.mark.parametrize("size", bodies.SIZES)
def test_boto3(endpoint, bucket, key, size):
    s3, sent = endpoint.boto(), bodies.body(size, seed=size)
    put = s3.put_object(Bucket=bucket, Key=key, Body=sent)
    got = s3.get_object(Bucket=bucket, Key=key)
    assert got["Body"].read() == sent
    head = s3.head_object(Bucket=bucket, Key=key)
    listed = s3.list_objects_v2(Bucket=bucket, Prefix=key)["Contents"]
    assert [entry["Key"] for entry in listed] == [key]
    assert head["ContentLength"] == got["ContentLength"] == listed[0]["Size"] == size
    assert put["ETag"] == head["ETag"] == got["ETag"] == listed[0]["ETag"]
    if endpoint.proxied:
        assert put["ETag"].endswith('-0"'), "an ETag that no client mistakes for an MD5"


def test_boto3_file_object(endpoint, bucket, key, tmp_path):
    """A file as the body: botocore sends Expect: 100-continue."""
    digest = bodies.write_body(tmp_path / "f", 3 << 20)
    with open(tmp_path / "f", "rb") as f:
        endpoint.boto().put_object(Bucket=bucket, Key=key, Body=f)
    endpoint.boto().download_file(bucket, key, tmp_path / "down")
    assert bodies.sha256_of_file(tmp_path / "down") == digest


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """(path, SHA-256)"""
    path = tmp_path_factory.mktemp("large") / "f"
    return path, bodies.write_body(path, LARGE, seed=7)


class TestLargeAsOnePutObject:
    """64 MiB, or 1 GiB with S3SEAL_SLOW=1, in a single PutObject."""

    @pytest.fixture(params=["http", "https"])
    def tools(self, request, endpoints, tmp_path):
        return Tools(endpoints(f"seaweedfs-{request.param}"), tmp_path)

    @pytest.fixture
    def target(self, bucket_of, key):
        return bucket_of("seaweedfs"), key

    def test_boto3(self, tools, target, large, tmp_path):
        s3 = tools.endpoint.boto()
        with open(large[0], "rb") as f:
            s3.put_object(Bucket=target[0], Key=target[1], Body=f)
        with open(tmp_path / "down", "wb") as f:
            for piece in s3.get_object(Bucket=target[0], Key=target[1])["Body"].iter_chunks(1 << 20):
                f.write(piece)
        assert bodies.sha256_of_file(tmp_path / "down") == large[1]

    def test_aws_s3api(self, tools, target, large, tmp_path):
        at = ["--bucket", target[0], "--key", target[1]]
        tools.aws("s3api", "put-object", *at, "--body", large[0])
        tools.aws("s3api", "get-object", *at, tmp_path / "down")
        assert bodies.sha256_of_file(tmp_path / "down") == large[1]

    def test_s5cmd(self, tools, target, large, tmp_path):
        url = "s3://{}/{}".format(*target)
        tools.s5cmd("cp", "-p", 6000, large[0], url)
        tools.s5cmd("cp", url, tmp_path / "down")  # parallel ranged reads
        assert bodies.sha256_of_file(tmp_path / "down") == large[1]

    def test_rclone(self, tools, target, large, tmp_path):
        remote = "R:{}/{}".format(*target)
        one_put = ["--s3-upload-cutoff", "5G", "--multi-thread-streams", 0]
        tools.rclone("copyto", *one_put, large[0], remote)
        tools.rclone("copyto", remote, tmp_path / "down")
        assert bodies.sha256_of_file(tmp_path / "down") == large[1]

"""Multipart uploads and multipart objects, as clients make and read them with their default settings."""
import concurrent.futures
import random
import threading
import time

import botocore.exceptions
import pytest

import bodies
import harness
import stored
from conftest import SLOW
from harness import Tools
from test_boto3 import error_of

MIB = 1 << 20
LARGE = (1 << 30) if SLOW else (24 * MIB + 12345)


@pytest.fixture
def tools(endpoint, tmp_path):
    return Tools(endpoint, tmp_path)


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """(path, SHA-256)"""
    path = tmp_path_factory.mktemp("large") / "f"
    return path, bodies.write_body(path, LARGE, seed=11)


def test_large_by_aws_cli(tools, bucket, key, large, tmp_path):
    tools.aws("s3", "cp", large[0], f"s3://{bucket}/{key}")
    assert tools.aws("s3", "ls", f"s3://{bucket}/{key}").stdout.split()[2] == str(LARGE)
    tools.aws("s3", "cp", f"s3://{bucket}/{key}", tmp_path / "down")
    assert bodies.sha256_of_file(tmp_path / "down") == large[1]


def test_large_is_synced_once_by_aws_cli(tools, bucket, key, large, tmp_path):
    folder = tmp_path / "sync"
    folder.mkdir()
    (folder / "f").symlink_to(large[0])
    assert "upload:" in tools.aws("s3", "sync", folder, f"s3://{bucket}/{key}").stdout
    assert "upload:" not in tools.aws("s3", "sync", folder, f"s3://{bucket}/{key}").stdout


def test_large_by_s5cmd(tools, bucket, key, large, tmp_path):
    tools.s5cmd("cp", "-p", 5, large[0], f"s3://{bucket}/{key}")
    tools.s5cmd("cp", "-p", 5, f"s3://{bucket}/{key}", tmp_path / "down")
    assert bodies.sha256_of_file(tmp_path / "down") == large[1]


def test_large_by_rclone(tools, bucket, key, large, tmp_path):
    parts = ["--s3-upload-cutoff", "5M", "--s3-chunk-size", "5M"]
    tools.rclone("copyto", *parts, large[0], f"R:{bucket}/{key}")
    tools.rclone("copyto", f"R:{bucket}/{key}", tmp_path / "down")
    assert bodies.sha256_of_file(tmp_path / "down") == large[1]


def test_large_by_boto3(endpoint, bucket, key, large, tmp_path):
    s3 = endpoint.boto()
    s3.upload_file(str(large[0]), bucket, key)
    head = s3.head_object(Bucket=bucket, Key=key)
    listed = s3.list_objects_v2(Bucket=bucket, Prefix=key)["Contents"]
    assert (head["ContentLength"], head["ETag"]) == (listed[0]["Size"], listed[0]["ETag"])
    assert head["ContentLength"] == LARGE
    s3.download_file(bucket, key, tmp_path / "down")
    assert bodies.sha256_of_file(tmp_path / "down") == large[1]


def upload(s3, bucket, key, parts, **create):
    """Uploads the parts and returns what names them."""
    upload_id = s3.create_multipart_upload(Bucket=bucket, Key=key, **create)["UploadId"]
    named = []
    for number, part in enumerate(parts, 1):
        algorithm = {"ChecksumAlgorithm": create["ChecksumAlgorithm"]} if "ChecksumAlgorithm" in create else {}
        done = s3.upload_part(Bucket=bucket, Key=key, UploadId=upload_id, PartNumber=number, Body=part, **algorithm)
        checksums = {name: value for name, value in done.items() if name.startswith("Checksum")}
        named.append({"PartNumber": number, "ETag": done["ETag"]} | checksums)
    return upload_id, named


@pytest.mark.proxied
@pytest.mark.parametrize("algorithm,kind", [
    ("CRC32", "COMPOSITE"), ("CRC32C", "FULL_OBJECT"), ("CRC64NVME", "FULL_OBJECT"), ("SHA1", "COMPOSITE"), ("SHA256", "COMPOSITE"),
])
def test_checksums_of_parts_and_object(seaweedfs, bucket, key, algorithm, kind):
    s3 = seaweedfs.boto()
    parts = [bodies.body(5 * MIB, 1), bodies.body(70_000, 2)]
    upload_id, named = upload(s3, bucket, key, parts, ChecksumAlgorithm=algorithm, ChecksumType=kind)
    name = f"Checksum{algorithm}"
    assert all(name in part for part in named)
    at = {"Bucket": bucket, "Key": key, "UploadId": upload_id}
    listed = s3.list_parts(**at)
    assert (listed["ChecksumAlgorithm"], listed["ChecksumType"]) == (algorithm, kind)
    whole = s3.put_object(Bucket=bucket, Key=key + "-whole", Body=b"".join(parts), ChecksumAlgorithm=algorithm)[name]
    wrong = {name: "AAAA" + whole[4:]} if kind == "FULL_OBJECT" else {name: "AAAA" + whole[4:] + "-2"}
    assert error_of(s3.complete_multipart_upload, MultipartUpload={"Parts": named}, **at, **wrong) == (400, "BadDigest")
    right = {name: whole} if kind == "FULL_OBJECT" else {}
    done = s3.complete_multipart_upload(MultipartUpload={"Parts": named}, **at, **right)
    assert done["Location"].startswith(s3.meta.endpoint_url + "/")
    assert done["ChecksumType"] == kind
    if kind == "FULL_OBJECT":
        assert done[name] == whole
    else:
        assert done[name].endswith("-2") and done[name] != whole
    got = s3.get_object(Bucket=bucket, Key=key, ChecksumMode="ENABLED")
    assert name not in got and got["Body"].read() == b"".join(parts)


@pytest.mark.proxied
def test_a_wrong_checksum_leaves_no_part(seaweedfs, bucket, key):
    s3 = seaweedfs.boto()
    upload_id = s3.create_multipart_upload(Bucket=bucket, Key=key)["UploadId"]
    at = {"Bucket": bucket, "Key": key, "UploadId": upload_id}
    for size in (1000, 300_000):
        refusal = error_of(s3.upload_part, PartNumber=1, Body=bodies.body(size), ChecksumCRC32="AAAAAA==", **at)
        assert refusal == (400, "BadDigest")
    assert s3.list_parts(**at).get("Parts", []) == []
    s3.abort_multipart_upload(**at)
    assert error_of(s3.list_parts, **at) == (404, "NoSuchUpload")


def test_parts_by_16_threads_in_random_order(endpoint, bucket, key):
    s3, size = endpoint.boto(), 5 * MIB + 1
    count = 13 if SLOW else 6
    whole = bodies.body(count * size - 77, 5)
    upload_id = s3.create_multipart_upload(Bucket=bucket, Key=key)["UploadId"]

    def put(number):
        part = whole[(number - 1) * size : number * size]
        done = s3.upload_part(Bucket=bucket, Key=key, UploadId=upload_id, PartNumber=number, Body=part)
        return {"PartNumber": number, "ETag": done["ETag"]}

    order = [(5 * n) % count + 1 for n in range(count)] if count % 5 else list(range(count, 0, -1))
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        parts = sorted(pool.map(put, order), key=lambda part: part["PartNumber"])
    s3.complete_multipart_upload(Bucket=bucket, Key=key, UploadId=upload_id, MultipartUpload={"Parts": parts})
    assert s3.get_object(Bucket=bucket, Key=key)["Body"].read() == whole
    got = s3.get_object(Bucket=bucket, Key=key, Range=f"bytes={size - 3}-{2 * size + 3}")
    assert got["Body"].read() == whole[size - 3 : 2 * size + 4]


@pytest.mark.proxied
def test_completion_on_a_condition(seaweedfs, bucket, key):
    s3 = seaweedfs.boto()
    s3.put_object(Bucket=bucket, Key=key, Body=bodies.body(10))
    upload_id, named = upload(s3, bucket, key, [bodies.body(100)])
    at = {"Bucket": bucket, "Key": key, "UploadId": upload_id, "MultipartUpload": {"Parts": named}}
    assert error_of(s3.complete_multipart_upload, IfNoneMatch="*", **at) == (412, "PreconditionFailed")
    assert s3.get_object(Bucket=bucket, Key=key)["Body"].read() == bodies.body(10)
    s3.complete_multipart_upload(**at)
    assert s3.get_object(Bucket=bucket, Key=key)["Body"].read() == bodies.body(100)


@pytest.mark.proxied
def test_metadata_and_encryption_are_those_of_the_creation(seaweedfs, bucket, key):
    s3 = seaweedfs.boto()
    upload_id, named = upload(
        s3, bucket, key, [bodies.body(100)], Metadata={"colour": "blue"}, ContentType="text/x", ServerSideEncryption="AES256"
    )
    at = {"Bucket": bucket, "Key": key}
    done = s3.complete_multipart_upload(UploadId=upload_id, MultipartUpload={"Parts": named}, **at)
    head = s3.head_object(**at)
    assert done["ServerSideEncryption"] == head["ServerSideEncryption"] == "AES256"
    assert {name.lower(): value for name, value in head["Metadata"].items()} == {"colour": "blue"}
    assert head["ContentType"] == "text/x"
    refused = dict(Metadata={"s3seal-header": "x"})
    assert error_of(s3.create_multipart_upload, **at, **refused) == (400, "InvalidArgument")


@pytest.mark.proxied
@pytest.mark.parametrize("sizes", [[5 * MIB, 5 * MIB], [5 * MIB, 123]], ids=["sealed", "short"])
def test_stored_objects_open_offline(seaweedfs, bucket, key, upstreams, keyring, sizes, tmp_path):
    """With nothing but the keyring, two metadata values and the stored bytes."""
    s3 = seaweedfs.boto()
    parts = [bodies.body(size, seed) for seed, size in enumerate(sizes)]
    upload_id, named = upload(s3, bucket, key, parts)
    s3.complete_multipart_upload(Bucket=bucket, Key=key, UploadId=upload_id, MultipartUpload={"Parts": named})
    there = stored.fetch(upstreams["seaweedfs"], bucket, key)
    sealed_parts = 3 if sizes[-1] >= 5 * MIB else 2
    assert len(there.body) == sum(sizes) + 16_640 * sealed_parts
    opened = harness.s3seal(
        "open", "--keyring", keyring, f"--header={there.header}", f"--envelope={there.envelope}", "--bucket", bucket,
        "--key", key, "--length", len(there.body), "--parts", sealed_parts, stdin=there.body,
    )
    assert opened.stdout == b"".join(parts)


@pytest.mark.proxied
def test_an_upload_outlives_the_replica_that_began_it(upstreams, bucket_of, keyring, home, key, tmp_path):
    """Parts in random order by 16 threads through two replicas; the first is killed and started again midway."""
    upstream, bucket = upstreams["seaweedfs"], bucket_of("seaweedfs")
    replicas = [harness.S3Seal(home, upstream, f"replica-{n}").start() for n in (1, 2)]
    clients = [replica.endpoint.boto(retries={"total_max_attempts": 1}) for replica in replicas]
    try:
        size = 5 * MIB + 1
        whole = bodies.body(64 * MIB, 23)
        count = -(-len(whole) // size)
        order = list(range(1, count + 1))
        random.Random(7).shuffle(order)
        at = {"Bucket": bucket, "Key": key}
        at["UploadId"] = clients[0].create_multipart_upload(**at)["UploadId"]
        killed = threading.Event()

        def put(place, number):
            part = whole[(number - 1) * size : number * size]
            if place == count // 2:
                replicas[0].kill()
                replicas[0].start()
                killed.set()
            for attempt in range(100):
                try:
                    replica = (place + attempt) % 2
                    done = clients[replica].upload_part(**at, PartNumber=number, Body=part)
                    return {"PartNumber": number, "ETag": done["ETag"]}
                except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError) as error:
                    if isinstance(error, botocore.exceptions.ClientError):
                        assert error.response["ResponseMetadata"]["HTTPStatusCode"] >= 500, error
                    time.sleep(0.05)
            raise AssertionError(f"part {number} never went through")

        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            parts = sorted(pool.map(put, range(count), order), key=lambda part: part["PartNumber"])
        assert killed.is_set()
        clients[1].complete_multipart_upload(**at, MultipartUpload={"Parts": parts})
        for client in clients:
            assert client.get_object(Bucket=bucket, Key=key)["Body"].read() == whole
    finally:
        for replica in replicas:
            replica.stop()


@pytest.mark.proxied
def test_two_hundred_parts(seaweedfs_http, bucket_of, key):
    """1,000 MiB: ranges that begin and end in any part, and a listing that knows the size."""
    s3, bucket, part = seaweedfs_http.boto(), bucket_of("seaweedfs"), bodies.body(5 * MIB, 31)
    at = {"Bucket": bucket, "Key": key}
    at["UploadId"] = s3.create_multipart_upload(**at)["UploadId"]

    def put(number):
        body = number.to_bytes(2, "big") + part[2:]
        return {"PartNumber": number, "ETag": s3.upload_part(**at, PartNumber=number, Body=body)["ETag"]}

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        parts = list(pool.map(put, range(1, 201)))
    s3.complete_multipart_upload(**at, MultipartUpload={"Parts": parts})
    del at["UploadId"]
    assert s3.list_objects_v2(Bucket=bucket, Prefix=key)["Contents"][0]["Size"] == 200 * len(part)
    for number in (1, 2, 100, 199, 200):
        first = (number - 1) * len(part)
        got = s3.get_object(**at, Range=f"bytes={first}-{first + 99}")["Body"].read()
        assert got == number.to_bytes(2, "big") + part[2:100]
    last = s3.get_object(**at, Range="bytes=-10")["Body"].read()
    assert last == part[-10:]
    assert s3.get_object(**at, PartNumber=137)["Body"].read(2) == (137).to_bytes(2, "big")

"""Server-side copies, moves and changes of metadata, as clients do them with their default settings."""
import pytest

import bodies
from harness import Tools

MIB = 1 << 20
LARGE = 20 * MIB + 321


@pytest.fixture
def tools(seaweedfs, tmp_path):
    return Tools(seaweedfs, tmp_path)


@pytest.fixture(params=[100_000, LARGE], ids=["small", "multipart"])
def source(request, seaweedfs, bucket, key, tmp_path):
    """(key, SHA-256) of an object that boto3 made."""
    path = tmp_path / "source"
    digest = bodies.write_body(path, request.param, seed=17)
    extra = {"Metadata": {"colour": "blue"}, "ContentType": "text/x-source"}
    seaweedfs.boto().upload_file(str(path), bucket, f"{key}/source", ExtraArgs=extra)
    return f"{key}/source", digest


def check(endpoint, tmp_path, bucket, key, digest):
    """The object holds the bytes, and the listing knows its size."""
    s3 = endpoint.boto()
    s3.download_file(bucket, key, str(tmp_path / "down"))
    assert bodies.sha256_of_file(tmp_path / "down") == digest
    listed = s3.list_objects_v2(Bucket=bucket, Prefix=key)["Contents"][0]
    assert listed["Size"] == (tmp_path / "down").stat().st_size
    return s3.head_object(Bucket=bucket, Key=key)


def gone(endpoint, bucket, key):
    return "Contents" not in endpoint.boto().list_objects_v2(Bucket=bucket, Prefix=key)


def test_copied_by_aws_cli(tools, bucket, key, source, tmp_path):
    tools.aws("s3", "cp", f"s3://{bucket}/{source[0]}", f"s3://{bucket}/{key}/copy")
    head = check(tools.endpoint, tmp_path, bucket, f"{key}/copy", source[1])
    if head["ContentLength"] < 8 * MIB:  # with parts, this version takes nothing along
        assert (head["Metadata"], head["ContentType"]) == ({"colour": "blue"}, "text/x-source")


def test_moved_by_aws_cli(tools, bucket, key, source, tmp_path):
    tools.aws("s3", "mv", f"s3://{bucket}/{source[0]}", f"s3://{bucket}/{key}/moved")
    check(tools.endpoint, tmp_path, bucket, f"{key}/moved", source[1])
    assert gone(tools.endpoint, bucket, source[0])


def test_copied_to_another_bucket_by_aws_cli(tools, bucket, fresh_bucket, key, source, tmp_path):
    tools.aws("s3", "cp", f"s3://{bucket}/{source[0]}", f"s3://{fresh_bucket}/{key}")
    check(tools.endpoint, tmp_path, fresh_bucket, key, source[1])


def test_copied_and_moved_by_s5cmd(tools, bucket, key, source, tmp_path):
    tools.s5cmd("cp", f"s3://{bucket}/{source[0]}", f"s3://{bucket}/{key}/copy")
    check(tools.endpoint, tmp_path, bucket, f"{key}/copy", source[1])
    tools.s5cmd("mv", f"s3://{bucket}/{key}/copy", f"s3://{bucket}/{key}/moved")
    check(tools.endpoint, tmp_path, bucket, f"{key}/moved", source[1])
    assert gone(tools.endpoint, bucket, f"{key}/copy")


def test_copied_and_moved_by_rclone(tools, bucket, key, source, tmp_path):
    tools.rclone("copyto", "--s3-copy-cutoff", "10M", f"R:{bucket}/{source[0]}", f"R:{bucket}/{key}/copy")
    check(tools.endpoint, tmp_path, bucket, f"{key}/copy", source[1])
    tools.rclone("moveto", f"R:{bucket}/{key}/copy", f"R:{bucket}/{key}/moved")
    check(tools.endpoint, tmp_path, bucket, f"{key}/moved", source[1])
    assert gone(tools.endpoint, bucket, f"{key}/copy")


def test_time_set_by_rclone(tools, bucket, key, source, tmp_path):
    """A copy onto itself with other metadata."""
    tools.rclone("touch", "--timestamp", "2020-01-02T03:04:05", f"R:{bucket}/{source[0]}")
    head = check(tools.endpoint, tmp_path, bucket, source[0], source[1])
    assert head["Metadata"]["mtime"].startswith("1577934245")
    assert head["Metadata"]["colour"] == "blue"


def test_copied_by_boto3(seaweedfs, bucket, key, source, tmp_path):
    seaweedfs.boto().copy({"Bucket": bucket, "Key": source[0]}, bucket, f"{key}/copy")
    check(seaweedfs, tmp_path, bucket, f"{key}/copy", source[1])


def test_metadata_replaced_by_boto3(seaweedfs, bucket, key, source, tmp_path):
    what = {"Bucket": bucket, "Key": source[0], "CopySource": {"Bucket": bucket, "Key": source[0]}}
    seaweedfs.boto().copy_object(**what, MetadataDirective="REPLACE", Metadata={"size": "large"})
    head = check(seaweedfs, tmp_path, bucket, source[0], source[1])
    assert head["Metadata"] == {"size": "large"}


def test_assembled_of_ranges_by_boto3(seaweedfs, bucket, key, source):
    s3 = seaweedfs.boto()
    whole = s3.get_object(Bucket=bucket, Key=source[0])["Body"].read()
    at = {"Bucket": bucket, "Key": f"{key}/assembled"}
    upload = at | {"UploadId": s3.create_multipart_upload(**at, ChecksumAlgorithm="CRC32C")["UploadId"]}
    copied = {"CopySource": {"Bucket": bucket, "Key": source[0]}}
    named, expected = [], b""
    for number, (first, last) in enumerate([(0, len(whole) - 1), (70_000, 90_000)], 1):
        if number == 1 and len(whole) < 5 * MIB:
            continue
        part = s3.upload_part_copy(
            **upload, **copied, PartNumber=len(named) + 1, CopySourceRange=f"bytes={first}-{last}"
        )["CopyPartResult"]
        named.append({"PartNumber": len(named) + 1, "ETag": part["ETag"], "ChecksumCRC32C": part["ChecksumCRC32C"]})
        expected += whole[first:last + 1]
    s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": named})
    assert s3.get_object(**at)["Body"].read() == expected

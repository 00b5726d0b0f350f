"""PutObject, GetObject, HeadObject, DeleteObject and listings as boto3 sees them."""
import base64
import datetime
import hashlib
import io
import ssl
import time
import urllib.parse
import urllib.request

import botocore.exceptions
import pytest

import bodies
import rawhttp
import stored

ALGORITHMS = ["CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"]


def error_of(call, *args, **kwargs):
    """(status, code) of the refusal."""
    with pytest.raises(botocore.exceptions.ClientError) as e:
        call(*args, **kwargs)
    return e.value.response["ResponseMetadata"]["HTTPStatusCode"], e.value.response["Error"]["Code"]


# --- metadata and headers -----------------------------------------------------------------------

def test_metadata_and_content_headers_come_back(endpoint, bucket, key):
    given = dict(
        ContentType="text/x-conformance", CacheControl="max-age=60", ContentDisposition='attachment; filename="a b"',
        ContentLanguage="de", ContentEncoding="gzip", Expires=datetime.datetime(2040, 1, 2, tzinfo=datetime.UTC),
        Metadata={"colour": "blue", "path": "a/b c"},
    )
    s3 = endpoint.boto()
    s3.put_object(Bucket=bucket, Key=key, Body=bodies.body(100), **given)
    for answer in (s3.head_object(Bucket=bucket, Key=key), s3.get_object(Bucket=bucket, Key=key)):
        shown = {name: answer[name] for name in given if name not in ("Expires", "Metadata")}
        assert shown == {name: value for name, value in given.items() if name in shown}
        assert {n.lower(): v for n, v in answer["Metadata"].items()} == given["Metadata"]
        assert answer["ExpiresString"].endswith("02 Jan 2040 00:00:00 GMT")


@pytest.mark.proxied
def test_reserved_metadata_is_refused_and_hidden(endpoint, bucket, key):
    s3 = endpoint.boto()
    for name in ("s3seal-header", "s3seal-key", "S3Seal-anything"):
        refusal = error_of(s3.put_object, Bucket=bucket, Key=key, Body=b"", Metadata={name: "x"})
        assert refusal == (400, "InvalidArgument")
    s3.put_object(Bucket=bucket, Key=key, Body=bodies.body(10))
    assert s3.head_object(Bucket=bucket, Key=key)["Metadata"] == {}
    assert s3.get_object(Bucket=bucket, Key=key)["Metadata"] == {}


@pytest.mark.proxied
def test_too_much_metadata_is_refused(endpoint, bucket, key):
    """2,048 bytes hold the client's metadata and ours."""
    s3 = endpoint.boto()
    refusal = error_of(s3.put_object, Bucket=bucket, Key=key, Body=b"", Metadata={"k": "v" * 2000})
    assert refusal == (400, "MetadataTooLarge")


@pytest.mark.parametrize("name,value", [
    ("ResponseContentType", "text/plain"),
    ("ResponseCacheControl", "no-store"),
    ("ResponseContentDisposition", "inline"),
])
def test_response_overrides(endpoint, bucket, key, name, value):
    s3 = endpoint.boto()
    s3.put_object(Bucket=bucket, Key=key, Body=bodies.body(10))
    answer = s3.get_object(Bucket=bucket, Key=key, **{name: value})
    assert answer[name.removeprefix("Response")] == value


# --- checksums ----------------------------------------------------------------------------------

@pytest.mark.proxied
@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("size", [0, 65536, 300_000])
def test_checksum_is_verified_stored_and_returned(endpoint, bucket, key, algorithm, size):
    """Computed by botocore or awscrt; over http it is a header, over https a trailer."""
    s3, sent, member = endpoint.boto(), bodies.body(size), f"Checksum{algorithm}"
    put = s3.put_object(Bucket=bucket, Key=key, Body=io.BytesIO(sent), ChecksumAlgorithm=algorithm)
    head = s3.head_object(Bucket=bucket, Key=key, ChecksumMode="ENABLED")
    got = s3.get_object(Bucket=bucket, Key=key, ChecksumMode="ENABLED")
    assert got["Body"].read() == sent  # botocore compares the checksum while reading
    assert put[member] and put[member] == head[member] == got[member]
    assert put["ChecksumType"] == head["ChecksumType"] == "FULL_OBJECT"
    assert member not in s3.head_object(Bucket=bucket, Key=key), "only for those who ask"


@pytest.mark.proxied
def test_large_object_is_read_without_a_checksum(seaweedfs, bucket, key):
    """It is sealed behind the body; leaving it out makes SDKs skip their check."""
    s3, sent = seaweedfs.boto(), bodies.body(2 << 20)
    s3.put_object(Bucket=bucket, Key=key, Body=sent, ChecksumAlgorithm="SHA256")
    got = s3.get_object(Bucket=bucket, Key=key, ChecksumMode="ENABLED")
    assert got["Body"].read() == sent and "ChecksumSHA256" not in got
    expected = base64.b64encode(hashlib.sha256(sent).digest()).decode()
    assert s3.head_object(Bucket=bucket, Key=key, ChecksumMode="ENABLED")["ChecksumSHA256"] == expected


@pytest.mark.parametrize("size", [100, 65536, 200_000])
@pytest.mark.parametrize("claim", ["md5", "sha256", *ALGORITHMS])
def test_wrong_checksum_leaves_nothing_stored(upstreams, endpoint, bucket, key, claim, size):
    if not endpoint.proxied and (endpoint.upstream == "ceph" or claim == "sha256"):
        pytest.skip("this upstream does not check it")
    sent = bodies.body(size)
    if claim == "sha256":
        answer = rawhttp.send(endpoint, "PUT", f"/{bucket}/{raw_key(key)}", sent, payload_hash="ab" * 32)
        assert (answer.status, answer.error_code) == (400, "XAmzContentSHA256Mismatch")
    else:
        length = {"md5": 16, "CRC32": 4, "CRC32C": 4, "CRC64NVME": 8, "SHA1": 20, "SHA256": 32}[claim]
        wrong = base64.b64encode(b"\1" * length).decode()
        argument = {"ContentMD5": wrong} if claim == "md5" else {f"Checksum{claim}": wrong}
        refusal = error_of(endpoint.boto().put_object, Bucket=bucket, Key=key, Body=sent, **argument)
        assert refusal == (400, "BadDigest")
    assert error_of(endpoint.boto().head_object, Bucket=bucket, Key=key)[0] == 404
    assert not stored.exists(upstreams[endpoint.upstream], bucket, key)


def raw_key(key):
    return urllib.parse.quote(key, safe="/")


def test_content_md5_is_accepted(endpoint, bucket, key):
    sent = bodies.body(70_000)
    md5 = base64.b64encode(hashlib.md5(sent).digest()).decode()
    endpoint.boto().put_object(Bucket=bucket, Key=key, Body=sent, ContentMD5=md5)
    assert endpoint.boto().get_object(Bucket=bucket, Key=key)["Body"].read() == sent


def test_overwrite_that_fails_keeps_the_old_object(endpoint, bucket, key):
    s3, old = endpoint.boto(), bodies.body(100_000, seed=1)
    s3.put_object(Bucket=bucket, Key=key, Body=old)
    answer = rawhttp.send(endpoint, "PUT", f"/{bucket}/{raw_key(key)}", bodies.body(200_000), payload_hash="ab" * 32)
    if endpoint.proxied or endpoint.upstream == "ceph":
        assert answer.status == 400
        assert s3.get_object(Bucket=bucket, Key=key)["Body"].read() == old


# --- Expect: 100-continue -----------------------------------------------------------------------

@pytest.mark.proxied
def test_continue_comes_only_when_the_head_is_good(endpoints, bucket_of, key):
    endpoint, path = endpoints("seaweedfs-http"), f"/{bucket_of('seaweedfs')}/{raw_key(key)}"
    assert rawhttp.send_expecting_continue(endpoint, path, bodies.body(1000))[0] == [100, 200]
    assert rawhttp.send_expecting_continue(endpoint, path, bodies.body(1000), secret_key="wrong")[0] == [403]


@pytest.mark.proxied
def test_expect_without_a_body_does_not_confuse_the_next_request(endpoints, bucket_of, key):
    """aws cli 1.46 keeps the status of an answer that came instead of "100 Continue", and waits for
    ever for the next one on that connection. An empty file in a folder is enough."""
    endpoint, path = endpoints("seaweedfs-http"), f"/{bucket_of('seaweedfs')}/{raw_key(key)}"
    statuses, closes = rawhttp.send_expecting_continue(endpoint, path, b"")
    assert statuses == [100, 200] or (statuses == [200] and closes)


# --- presigned ----------------------------------------------------------------------------------

def fetch(endpoint, url, method="GET", body=None, headers=None):
    context = ssl.create_default_context(cafile=endpoint.ca) if endpoint.tls else None
    request = urllib.request.Request(url, data=body, method=method, headers=headers or {})
    return urllib.request.urlopen(request, context=context)


def test_presigned_put_and_get(endpoint, bucket, key):
    s3, sent, target = endpoint.boto(), bodies.body(150_000), {"Bucket": bucket, "Key": key}
    put = fetch(endpoint, s3.generate_presigned_url("put_object", target), "PUT", sent)
    assert put.status == 200
    got = fetch(endpoint, s3.generate_presigned_url("get_object", target))
    assert got.read() == sent and got.headers["ETag"] == put.headers["ETag"]
    part = fetch(endpoint, s3.generate_presigned_url("get_object", target), headers={"Range": "bytes=65535-65536"})
    assert part.status == 206 and part.read() == sent[65535:65537]


def test_tampered_or_expired_presigned_url_is_refused(endpoint, bucket, key):
    s3, target = endpoint.boto(), {"Bucket": bucket, "Key": key}
    s3.put_object(**target, Body=bodies.body(10))
    good = s3.generate_presigned_url("get_object", target)
    expired = s3.generate_presigned_url("get_object", target, ExpiresIn=1)
    tampered = good.replace("X-Amz-Expires=3600", "X-Amz-Expires=3601")
    time.sleep(2.1)
    for url in (tampered, expired):
        with pytest.raises(urllib.error.HTTPError) as e:
            fetch(endpoint, url)
        assert e.value.code == 403


def test_signature_is_checked(endpoint, bucket, key):
    answer = rawhttp.send(endpoint, "GET", f"/{bucket}/{raw_key(key)}", secret_key="wrong")
    assert (answer.status, answer.error_code) == (403, "SignatureDoesNotMatch")
    with pytest.raises(urllib.error.HTTPError) as e:
        fetch(endpoint, f"{endpoint.url}/{bucket}/{raw_key(key)}")
    assert e.value.code == 403


# --- deletes and listings -----------------------------------------------------------------------

def test_delete(endpoint, bucket, key):
    s3 = endpoint.boto()
    s3.put_object(Bucket=bucket, Key=key, Body=bodies.body(10))
    s3.delete_object(Bucket=bucket, Key=key)
    assert error_of(s3.get_object, Bucket=bucket, Key=key) == (404, "NoSuchKey")


def test_listings_show_plaintext_sizes(endpoint, fresh_bucket):
    s3 = endpoint.boto()
    sizes = {f"folder {n % 3}/object&{size}": size for n, size in enumerate(bodies.SIZES[:-1])}
    if not endpoint.proxied:
        sizes.pop("folder 0/object&0")  # SeaweedFS lists an empty object with an empty ETag
    etags = {k: s3.put_object(Bucket=fresh_bucket, Key=k, Body=bodies.body(n))["ETag"] for k, n in sizes.items()}
    for listing in (
        s3.list_objects(Bucket=fresh_bucket)["Contents"],
        s3.list_objects_v2(Bucket=fresh_bucket)["Contents"],
        s3.list_object_versions(Bucket=fresh_bucket)["Versions"],
        [e for page in s3.get_paginator("list_objects_v2").paginate(Bucket=fresh_bucket, PaginationConfig={"PageSize": 2})
         for e in page["Contents"]],
    ):
        assert {entry["Key"]: entry["Size"] for entry in listing} == sizes
        assert {entry["Key"]: entry["ETag"] for entry in listing} == etags
    folders = s3.list_objects_v2(Bucket=fresh_bucket, Delimiter="/")["CommonPrefixes"]
    assert [f["Prefix"] for f in folders] == ["folder 0/", "folder 1/", "folder 2/"]


def test_versions(endpoint, fresh_bucket):
    s3 = endpoint.boto()
    s3.put_bucket_versioning(Bucket=fresh_bucket, VersioningConfiguration={"Status": "Enabled"})
    versions = [s3.put_object(Bucket=fresh_bucket, Key="k", Body=bodies.body(n))["VersionId"] for n in (10, 70_000)]
    s3.delete_object(Bucket=fresh_bucket, Key="k")
    listed = s3.list_object_versions(Bucket=fresh_bucket)
    assert {v["VersionId"]: v["Size"] for v in listed["Versions"]} == dict(zip(versions, (10, 70_000)))
    assert len(listed["DeleteMarkers"]) == 1
    old = s3.get_object(Bucket=fresh_bucket, Key="k", VersionId=versions[0])
    assert old["Body"].read() == bodies.body(10)


# --- what the client is told about encryption ---------------------------------------------------

@pytest.mark.proxied
@pytest.mark.parametrize("asked,shown", [
    ({}, ("aws:kms", "default")),
    ({"ServerSideEncryption": "AES256"}, ("AES256", None)),
    ({"ServerSideEncryption": "aws:kms"}, ("aws:kms", "default")),
    ({"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": "default"}, ("aws:kms", "default")),
])
def test_encryption_headers(endpoint, bucket, key, asked, shown):
    s3 = endpoint.boto()
    put = s3.put_object(Bucket=bucket, Key=key, Body=bodies.body(10), **asked)
    answers = [put, s3.head_object(Bucket=bucket, Key=key), s3.get_object(Bucket=bucket, Key=key)]
    assert [(a.get("ServerSideEncryption"), a.get("SSEKMSKeyId")) for a in answers] == [shown] * 3


@pytest.mark.proxied
def test_unknown_key_is_refused(endpoint, bucket, key):
    refusal = error_of(
        endpoint.boto().put_object, Bucket=bucket, Key=key, Body=bodies.body(10),
        ServerSideEncryption="aws:kms", SSEKMSKeyId="nobody-knows-it",
    )
    assert refusal == (400, "KMS.NotFoundException")


def test_p66_d29_attributes_are_of_the_plaintext(seaweedfs, bucket, key):
    s3 = seaweedfs.boto()
    at = {"Bucket": bucket, "Key": key}
    asked = ["ETag", "Checksum", "ObjectParts", "StorageClass", "ObjectSize"]
    put = s3.put_object(**at, Body=bodies.body(100_000), ChecksumAlgorithm="SHA256")
    shown = s3.get_object_attributes(**at, ObjectAttributes=asked)
    assert (shown["ObjectSize"], shown["StorageClass"]) == (100_000, "STANDARD")
    assert shown["ETag"] == put["ETag"].strip('"')
    assert shown["Checksum"]["ChecksumSHA256"] == put["ChecksumSHA256"]
    assert "ObjectParts" not in shown
    upload = at | {"UploadId": s3.create_multipart_upload(**at)["UploadId"]}
    lens = [5 << 20, 70_000]
    etags = [s3.upload_part(**upload, PartNumber=n, Body=bodies.body(size))["ETag"] for n, size in enumerate(lens, 1)]
    parts = [{"PartNumber": n, "ETag": etag} for n, etag in enumerate(etags, 1)]
    s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts})
    shown = s3.get_object_attributes(**at, ObjectAttributes=asked)
    assert (shown["ObjectSize"], shown["ObjectParts"]) == (sum(lens), {"TotalPartsCount": 2})


def test_attributes_of_nothing_are_refused(seaweedfs, bucket, key):
    s3 = seaweedfs.boto()
    at = {"Bucket": bucket, "Key": key}
    assert error_of(s3.get_object_attributes, **at, ObjectAttributes=["ETag"]) == (404, "NoSuchKey")
    assert error_of(s3.get_object_attributes, **at, ObjectAttributes=["Colour"]) == (400, "InvalidArgument")

"""Key bytes arrive as they were sent. Ceph RGW is the judge: it takes every key as it is."""
import urllib.parse

import pytest

import bodies
import rawhttp

KEYS = {
    "dot segment": "x/./y",
    "dot-dot segment": "x/../y",
    "dot-dot": "..",
    "double slash": "a//b",
    "leading slash": "/lead",
    "plus": "a+b",
    "space": "a b",
    "percent literal": "a%2Fb",
    "percent percent": "a%252Fb",
    "reserved": "!$&'()*,;=:@?#[]",
    "quotes": "\"<>'&",
    "backslash": "a\\b|c^d`e{f}",
    "unicode": "zoë/日本語",
    "decomposed": "zoe\u0308",
    "emoji": "\U0001f512\U0001f511",
    "tilde": "~a-b._c",
    "1024 bytes": "k" * 200 + "/" + "ä" * 411 + "z",
}


@pytest.fixture(params=KEYS.values(), ids=KEYS)
def odd_key(request):
    return request.param


def test_round_trip(ceph_http, fresh_bucket, odd_key, upstreams):
    """Put, list, get and delete under the key; the upstream lists the very same key."""
    sent, path = bodies.body(70_000), f"/{fresh_bucket}/{urllib.parse.quote(odd_key, safe='/')}"
    assert rawhttp.send(ceph_http, "PUT", path, sent).status == 200
    for endpoint in (ceph_http, upstreams["ceph"]):
        listed = endpoint.boto().list_objects_v2(Bucket=fresh_bucket)["Contents"]
        assert [entry["Key"] for entry in listed] == [odd_key]
    got = rawhttp.send(ceph_http, "GET", path)
    assert (got.status, got.body) == (200, sent)
    assert rawhttp.send(ceph_http, "DELETE", path).status == 204
    assert rawhttp.send(ceph_http, "GET", path).status == 404


@pytest.mark.parametrize("name", [n for n in KEYS if n != "leading slash"])
def test_by_boto3(ceph_http, fresh_bucket, name):
    s3, sent = ceph_http.boto(), bodies.body(100)
    s3.put_object(Bucket=fresh_bucket, Key=KEYS[name], Body=sent)
    assert s3.get_object(Bucket=fresh_bucket, Key=KEYS[name])["Body"].read() == sent


def test_trailing_slash_with_a_body(ceph_http, fresh_bucket):
    """SeaweedFS drops the body of a folder; Ceph keeps it."""
    s3, sent = ceph_http.boto(), bodies.body(1000)
    s3.put_object(Bucket=fresh_bucket, Key="trail/", Body=sent)
    assert s3.get_object(Bucket=fresh_bucket, Key="trail/")["Body"].read() == sent


def test_folder_marker(seaweedfs, bucket, key):
    """What consoles make: an empty object whose key ends in a slash."""
    s3 = seaweedfs.boto()
    s3.put_object(Bucket=bucket, Key=f"{key}/", Body=b"")
    assert s3.get_object(Bucket=bucket, Key=f"{key}/")["Body"].read() == b""
    assert s3.head_object(Bucket=bucket, Key=f"{key}/")["ContentLength"] == 0


@pytest.mark.proxied
@pytest.mark.parametrize("written,read", [
    ("/a%2fb", "/a/b"),  # the escape of a slash is a slash
    ("/%41", "/A"),
    ("/a+b", "/a%2Bb"),  # a plus in a path is a plus
])
def test_spellings_of_the_same_key(ceph_http, fresh_bucket, written, read):
    sent = bodies.body(100)
    assert rawhttp.send(ceph_http, "PUT", f"/{fresh_bucket}{written}", sent).status == 200
    assert rawhttp.send(ceph_http, "GET", f"/{fresh_bucket}{read}").body == sent


@pytest.mark.proxied
def test_key_of_1025_bytes_is_refused(ceph_http, fresh_bucket):
    answer = rawhttp.send(ceph_http, "PUT", f"/{fresh_bucket}/{'k' * 1025}", bodies.body(10))
    assert (answer.status, answer.error_code) == (400, "KeyTooLongError")


def test_ceph_checks_payload_hashes(upstreams, bucket_of, key):
    """A control: a proxy that claimed a wrong hash upstream could not have passed the tests above."""
    path = f"/{bucket_of('ceph')}/{urllib.parse.quote(key)}"
    answer = rawhttp.send(upstreams["ceph"], "PUT", path, b"x", payload_hash="ab" * 32)
    assert (answer.status, answer.error_code) == (400, "XAmzContentSHA256Mismatch")

"""What this version does not do is refused before anything is stored, with an answer that says so."""
import base64
import hashlib
import time

import pytest

import bodies
import rawhttp
import stored
from test_boto3 import error_of, raw_key

pytestmark = pytest.mark.proxied


@pytest.fixture
def upstream(upstreams):
    return upstreams["seaweedfs"]


def assert_nothing_stored(upstream, bucket, key):
    assert not stored.exists(upstream, bucket, key)
    uploads = upstream.boto().list_multipart_uploads(Bucket=bucket, Prefix=key).get("Uploads", [])
    assert uploads == []


@pytest.mark.parametrize("query", ["renameObject", "torrent", "surprise", "select&select-type=2"])
@pytest.mark.parametrize("method", ["PUT", "POST"])
def test_unknown_writes(seaweedfs, bucket, key, upstream, method, query):
    answer = rawhttp.send(seaweedfs, method, f"/{bucket}/{raw_key(key)}?{query}", bodies.body(100))
    assert (answer.status, answer.error_code) == (501, "NotImplemented")
    assert_nothing_stored(upstream, bucket, key)


SSE = "x-amz-server-side-encryption"
CUSTOMER_KEY = b"k" * 32
HEADERS = {
    "two layers": {SSE: "aws:kms:dsse"},
    "append": {"x-amz-write-offset-bytes": "10"},
}


def test_a_customer_key_over_plain_http(seaweedfs_http, bucket, key, upstream):
    headers = {
        f"{SSE}-customer-algorithm": "AES256",
        f"{SSE}-customer-key": base64.b64encode(CUSTOMER_KEY).decode(),
        f"{SSE}-customer-key-MD5": base64.b64encode(hashlib.md5(CUSTOMER_KEY).digest()).decode(),
    }
    answer = rawhttp.send(seaweedfs_http, "PUT", f"/{bucket}/{raw_key(key)}", bodies.body(100), headers)
    assert (answer.status, answer.error_code) == (400, "InvalidRequest")
    assert_nothing_stored(upstream, bucket, key)


def test_a_customer_key_over_tls(endpoints, bucket_of):
    """Not refused; here, so that the key is looked for in files and logs afterwards."""
    client, bucket = endpoints("seaweedfs-https").boto(), bucket_of("seaweedfs")
    asked = {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": CUSTOMER_KEY}
    client.put_object(Bucket=bucket, Key="of-a-customer", Body=bodies.body(100_000), **asked)
    got = client.get_object(Bucket=bucket, Key="of-a-customer", **asked)
    assert got["Body"].read() == bodies.body(100_000)
    client.delete_object(Bucket=bucket, Key="of-a-customer")


@pytest.mark.parametrize("headers", HEADERS.values(), ids=HEADERS)
def test_headers_that_would_change_the_write(seaweedfs, bucket, key, upstream, headers):
    answer = rawhttp.send(seaweedfs, "PUT", f"/{bucket}/{raw_key(key)}", bodies.body(100), headers)
    assert (answer.status, answer.error_code) == (501, "NotImplemented")
    assert_nothing_stored(upstream, bucket, key)


def test_body_without_a_length(seaweedfs, bucket, key, upstream):
    """The plaintext size is an input of the key."""
    head = rawhttp.signed_headers(seaweedfs, "PUT", f"/{bucket}/{raw_key(key)}")
    connection = rawhttp.connect(seaweedfs)
    connection.request(
        "PUT", f"/{bucket}/{raw_key(key)}", iter([bodies.body(100)]), head | {"Transfer-Encoding": "chunked"}, encode_chunked=True
    )
    answer = rawhttp.read_answer(connection.getresponse())
    connection.close()
    assert (answer.status, answer.error_code) == (411, "MissingContentLength")
    assert_nothing_stored(upstream, bucket, key)


def test_body_shorter_than_announced(seaweedfs, bucket, key, upstream):
    """The client is gone in the middle: the upstream request is cancelled, not completed."""
    path, sent = f"/{bucket}/{raw_key(key)}", bodies.body(500_000)
    head = rawhttp.signed_headers(seaweedfs, "PUT", path)
    connection = rawhttp.connect(seaweedfs)
    connection.putrequest("PUT", path, skip_host=True, skip_accept_encoding=True)
    for name, value in ({"Content-Length": str(len(sent))} | head).items():
        connection.putheader(name, value)
    connection.endheaders(sent[:400_000])
    connection.close()
    time.sleep(1)
    assert_nothing_stored(upstream, bucket, key)

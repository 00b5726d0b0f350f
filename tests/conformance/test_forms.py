"""Forms that browsers post, signed by boto3 and sent by Python's own HTTP client."""
import base64
import dataclasses
import http.client
import ssl
import urllib.parse
import uuid
import xml.etree.ElementTree

import pytest

import bodies
import rawhttp
import stored

pytestmark = pytest.mark.proxied

SIZES = [0, 1, 65536, 65537, 3_000_000]


@pytest.fixture
def upstream(upstreams):
    return upstreams["seaweedfs"]


def multipart(fields, data, filename="file.bin", behind=()):
    """(body, content type): the file is last, but for `behind`."""
    boundary = uuid.uuid4().hex

    def part(name, value, more=""):
        return f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"{more}\r\n\r\n'.encode() + value + b"\r\n"

    parts = [part(name, value.encode()) for name, value in fields.items()]
    parts.append(part("file", data, f'; filename="{filename}"'))
    parts += [part(name, value.encode()) for name, value in behind]
    return b"".join(parts) + f"--{boundary}--\r\n".encode(), f"multipart/form-data; boundary={boundary}"


def post(endpoint, signed, data, **options):
    """Sends a form to where boto3 says it goes."""
    body, kind = multipart(signed["fields"], data, **options)
    return send(endpoint, urllib.parse.urlsplit(signed["url"]).path, body, kind)


def send(endpoint, path, body, kind):
    connection = rawhttp.connect(endpoint)
    try:
        connection.request("POST", path, body, {"Content-Type": kind, "Content-Length": str(len(body))})
        return rawhttp.read_answer(connection.getresponse())
    except (ConnectionError, ssl.SSLError, http.client.HTTPException):
        return rawhttp.Answer(0, {}, b"", complete=False)
    finally:
        connection.close()


def presign(endpoint, bucket, key, fields=None, conditions=(), seconds=600):
    """Every field gets a condition, as boto3 leaves to its caller."""
    conditions = [{name: value} for name, value in (fields or {}).items()] + list(conditions)
    return endpoint.boto().generate_presigned_post(bucket, key, Fields=dict(fields or {}), Conditions=conditions, ExpiresIn=seconds)


@pytest.mark.parametrize("size", SIZES)
def test_round_trip(endpoint, bucket, key, size):
    data = bodies.body(size)
    fields = {"Content-Type": "image/png", "x-amz-meta-colour": "blue"}
    answer = post(endpoint, presign(endpoint, bucket, key, fields), data)
    assert (answer.status, answer.body) == (204, b"")
    read = endpoint.boto().get_object(Bucket=bucket, Key=key)
    assert read["Body"].read() == data
    assert (read["ContentType"], read["ETag"]) == ("image/png", answer.headers["etag"])
    assert read["Metadata"] == {"colour": "blue"}
    assert answer.headers["x-amz-server-side-encryption"] == "aws:kms"


def test_what_is_stored_opens_with_the_reference(seaweedfs, bucket, key, upstream, keyring):
    data = bodies.body(200_000)
    assert post(seaweedfs, presign(seaweedfs, bucket, key), data).status == 204
    found = stored.fetch(upstream, bucket, key)
    assert bodies.MARKER not in found.body
    assert stored.open_with_reference(found, keyring, bucket, key) == data


def test_name_of_the_file(seaweedfs, bucket, key):
    signed = presign(seaweedfs, bucket, key + "/${filename}")
    assert post(seaweedfs, signed, b"x", filename="C:\\folder\\a b.txt").status == 204
    assert seaweedfs.boto().get_object(Bucket=bucket, Key=key + "/a b.txt")["Body"].read() == b"x"


def test_document(seaweedfs, bucket, key):
    answer = post(seaweedfs, presign(seaweedfs, bucket, key, {"success_action_status": "201"}), b"x")
    assert answer.status == 201
    document = {child.tag: child.text for child in xml.etree.ElementTree.fromstring(answer.body)}
    assert document == {
        "Location": f"{seaweedfs.url}/{bucket}/{urllib.parse.quote(key)}",
        "Bucket": bucket,
        "Key": key,
        "ETag": answer.headers["etag"],
    }
    assert seaweedfs.boto().head_object(Bucket=bucket, Key=key)["ETag"] == document["ETag"]


def test_redirect(seaweedfs, bucket, key):
    page = "https://example.com/done"
    answer = post(seaweedfs, presign(seaweedfs, bucket, key, {"success_action_redirect": page}), b"x")
    assert answer.status == 303
    location, _, query = answer.headers["location"].partition("?")
    assert location == page
    assert dict(urllib.parse.parse_qsl(query)) == {"bucket": bucket, "key": key, "etag": answer.headers["etag"]}


def test_tags(seaweedfs, bucket, key):
    tags = "<Tagging><TagSet><Tag><Key>a b</Key><Value>1</Value></Tag></TagSet></Tagging>"
    assert post(seaweedfs, presign(seaweedfs, bucket, key, {"tagging": tags}), b"x").status == 204
    found = seaweedfs.boto().get_object_tagging(Bucket=bucket, Key=key)["TagSet"]
    assert found == [{"Key": "a b", "Value": "1"}]


def test_lengths(seaweedfs, bucket, key, upstream):
    signed = presign(seaweedfs, bucket, key, conditions=[["content-length-range", 10, 2_000_000]])
    for size, code in [(9, "EntityTooSmall"), (2_000_001, "EntityTooLarge")]:
        answer = post(seaweedfs, signed, bodies.body(size))
        assert (answer.status, answer.error_code) == (400, code)
        assert not stored.exists(upstream, bucket, key)
    assert post(seaweedfs, signed, bodies.body(2_000_000)).status == 204


def test_what_stands_behind_the_file_is_ignored(seaweedfs, bucket, key):
    signed = presign(seaweedfs, bucket, key)
    assert post(seaweedfs, signed, b"x", behind=[("submit", "Send")]).status == 204
    assert seaweedfs.boto().get_object(Bucket=bucket, Key=key)["Body"].read() == b"x"


def changed(signed, **fields):
    return signed | {"fields": signed["fields"] | {name.replace("_", "-"): value for name, value in fields.items()}}


def test_refusals(seaweedfs, bucket, key, upstream):
    signed = presign(seaweedfs, bucket, key)
    policy = base64.b64decode(signed["fields"]["policy"]).replace(key.encode(), b"other")
    stranger = dataclasses.replace(seaweedfs, access_key="NOBODY")
    for form, status, code in [
        (changed(signed, x_amz_signature="0" * 64), 403, "SignatureDoesNotMatch"),
        (changed(signed, policy=base64.b64encode(policy).decode()), 403, "SignatureDoesNotMatch"),
        (changed(signed, key=key + "x"), 403, "AccessDenied"),
        (changed(signed, acl="public-read"), 403, "AccessDenied"),
        (presign(seaweedfs, bucket, key, seconds=-1), 403, "AccessDenied"),
        (presign(stranger, bucket, key), 403, "InvalidAccessKeyId"),
        ({"url": signed["url"], "fields": {"key": key}}, 403, "AccessDenied"),
        (presign(seaweedfs, bucket, key, {"x-amz-meta-s3seal-key": "x"}), 400, "InvalidArgument"),
    ]:
        answer = post(seaweedfs, form, bodies.body(100))
        assert (answer.status, answer.error_code) == (status, code)
        assert not stored.exists(upstream, bucket, key)


@pytest.mark.parametrize("size", [100, 3_000_000])
def test_a_form_that_ends_early(seaweedfs, bucket, key, upstream, size):
    signed = presign(seaweedfs, bucket, key)
    body, kind = multipart(signed["fields"], bodies.body(size))
    answer = send(seaweedfs, f"/{bucket}", body[:-10], kind)
    assert (answer.status, answer.error_code) == (400, "MalformedPOSTRequest")
    assert not stored.exists(upstream, bucket, key)

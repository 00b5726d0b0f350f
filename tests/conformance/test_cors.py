"""Browsers: rules set with boto3, preflights and requests as a browser sends them."""
import pytest

import bodies
import rawhttp
from test_boto3 import error_of, raw_key

APP = "https://app.example"
RULES = {
    "CORSRules": [
        {
            "AllowedOrigins": [APP, "https://*.app.example"],
            "AllowedMethods": ["PUT", "GET"],
            "AllowedHeaders": ["x-amz-*", "content-type"],
            "ExposeHeaders": ["ETag"],
            "MaxAgeSeconds": 60,
        },
        {"AllowedOrigins": ["*"], "AllowedMethods": ["GET"]},
    ]
}
VARY = "Origin, Access-Control-Request-Headers, Access-Control-Request-Method"

pytestmark = pytest.mark.proxied


@pytest.fixture
def shared(seaweedfs, fresh_bucket):
    seaweedfs.boto().put_bucket_cors(Bucket=fresh_bucket, CORSConfiguration=RULES)
    return fresh_bucket


def preflight(endpoint, path, method, origin=APP, headers=None):
    asked = {"Origin": origin, "Access-Control-Request-Method": method}
    asked |= {"Access-Control-Request-Headers": headers} if headers else {}
    return rawhttp.send_unsigned(endpoint, "OPTIONS", path, asked)


def allowed(answer):
    """origin, credentials"""
    return tuple(answer.headers.get(f"access-control-allow-{name}") for name in ("origin", "credentials"))


def test_p64_preflights(seaweedfs, shared, key):
    path = f"/{shared}/{raw_key(key)}"
    answer = preflight(seaweedfs, path, "PUT", headers="X-Amz-Date,Content-Type")
    assert (answer.status, answer.body, allowed(answer)) == (200, b"", (APP, "true"))
    assert answer.headers["access-control-allow-headers"] == "x-amz-date, content-type"
    assert answer.headers["access-control-allow-methods"] == "PUT, GET"
    assert answer.headers["access-control-max-age"] == "60"
    assert answer.headers["access-control-expose-headers"] == "ETag"
    assert answer.headers["vary"] == VARY
    assert allowed(preflight(seaweedfs, path, "GET", "https://a.app.example")) == ("https://a.app.example", "true")
    assert allowed(preflight(seaweedfs, path, "GET", "https://other")) == ("*", None)
    for refused in (
        preflight(seaweedfs, path, "PUT", "https://other"),
        preflight(seaweedfs, path, "DELETE"),
        preflight(seaweedfs, path, "PUT", headers="authorization"),
        preflight(seaweedfs, f"/no-{shared}/key", "GET"),
    ):
        assert (refused.status, refused.error_code, allowed(refused)) == (403, "AccessForbidden", (None, None))


def test_p64_requests_with_an_origin(seaweedfs, shared, key):
    path, body = f"/{shared}/{raw_key(key)}", bodies.body(100_000)
    put = rawhttp.send(seaweedfs, "PUT", path, body, {"Origin": APP})
    assert (put.status, allowed(put)) == (200, (APP, "true"))
    get = rawhttp.send(seaweedfs, "GET", path, headers={"Origin": APP})
    assert (get.status, get.body, allowed(get)) == (200, body, (APP, "true"))
    assert get.headers["vary"] == VARY
    missing = rawhttp.send(seaweedfs, "GET", path + "-none", headers={"Origin": "https://other"})
    assert (missing.status, allowed(missing)) == (404, ("*", None))
    stranger = rawhttp.send_unsigned(seaweedfs, "GET", path, {"Origin": APP})
    assert (stranger.status, allowed(stranger)) == (403, (APP, "true"))
    plain = rawhttp.send(seaweedfs, "GET", path)
    assert not [name for name in plain.headers if name == "vary" or name.startswith("access-control-")]


def test_p64_changed_rules_hold_at_once(seaweedfs, shared):
    s3 = seaweedfs.boto()
    assert preflight(seaweedfs, f"/{shared}/key", "PUT").status == 200
    s3.delete_bucket_cors(Bucket=shared)
    assert error_of(s3.get_bucket_cors, Bucket=shared) == (404, "NoSuchCORSConfiguration")
    refused = preflight(seaweedfs, f"/{shared}/key", "PUT")
    assert (refused.status, refused.error_code) == (403, "AccessForbidden")
    s3.put_bucket_cors(Bucket=shared, CORSConfiguration=RULES)
    assert preflight(seaweedfs, f"/{shared}/key", "PUT").status == 200

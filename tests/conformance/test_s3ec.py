"""Objects that the Amazon S3 Encryption Client wrote around the proxy: read through it, and moved to it.

The library is the real one, over moto's KMS, and writes in a venv of its own (s3ec_writer.py).
"""
import base64
import json
import os
import pathlib
import random
import subprocess

import boto3
import botocore.exceptions
import pytest

import bodies
import harness
import stored
from harness import Tools

pytestmark = pytest.mark.proxied

MIB = 1 << 20
SIZES = [0, 1, 15, 16, 17, 1000, 65535, 65536, 65537, 131072, MIB, MIB + 1, 5 * MIB]
WRITER = pathlib.Path(__file__).with_name("s3ec_writer.py")
ACCOUNT = {"aws_access_key_id": "A", "aws_secret_access_key": "B", "region_name": harness.REGION}


@pytest.fixture(scope="module")
def kms():
    return boto3.client("kms", endpoint_url=os.environ["S3SEAL_TEST_KMS"], **ACCOUNT)


@pytest.fixture(scope="module")
def key_arn(kms):
    return kms.create_key()["KeyMetadata"]["Arn"]


@pytest.fixture(scope="module")
def site(home, keyring, upstreams, key_arn):
    """A proxy whose rule reads the library's objects, over SeaweedFS."""
    proxy = harness.S3Seal(home, upstreams["seaweedfs"], "seaweedfs-s3ec", rules=rules(key_arn))
    config = proxy.config.read_text().replace('addressing = "path"', 'addressing = "path"\nlist_sizes = "head"')
    proxy.config.write_text(config)
    bucket = f"s3ec-{os.getpid()}"
    upstreams["seaweedfs"].boto().create_bucket(Bucket=bucket)
    site = Site(proxy.start(), upstreams["seaweedfs"], bucket, key_arn, keyring)
    yield site
    proxy.stop()


def rules(key_arn):
    return f"""
[[keys.providers]]
kind = "aws-kms"
name = "kms"
region = "{harness.REGION}"
endpoint = "{os.environ['S3SEAL_TEST_KMS']}"
credentials = {{ access_key_id = "A", secret_access_key = "B" }}
keys = ["{key_arn}"]

[[rules]]
buckets = ["*"]
encryption = "named-key"
s3_encryption_client = {{ kms_keys = ["{key_arn}"], max_size_mib = 16 }}
"""


class Site:
    def __init__(self, proxy, upstream, bucket, key_arn, keyring):
        self.proxy, self.upstream, self.bucket, self.key_arn = proxy, upstream, bucket, key_arn
        self.keyring, self.client = keyring, proxy.endpoint.boto()

    def write(self, objects):
        """Has the library write objects: (key, size, version, context, in parts)."""
        names = ("key", "size", "version", "context", "parts")
        objects = [dict(zip(names, entry), seed=seed) for seed, entry in enumerate(objects)]
        job = {
            "s3": self.upstream.url, "kms": os.environ["S3SEAL_TEST_KMS"], "access_key": self.upstream.access_key,
            "secret_key": self.upstream.secret_key, "bucket": self.bucket, "key_id": self.key_arn, "objects": objects,
        }
        done = subprocess.run(
            [os.environ["S3SEAL_TEST_S3EC"], str(WRITER)], input=json.dumps(job), capture_output=True, text=True,
            timeout=600, env={"PATH": os.environ["PATH"]},
        )
        assert done.returncode == 0, done.stderr
        return {entry["key"]: bodies.body(entry["size"], entry["seed"]) for entry in objects}

    def get(self, key, **kwargs):
        return self.client.get_object(Bucket=self.bucket, Key=key, **kwargs)

    def refusal(self, key):
        with pytest.raises(botocore.exceptions.ClientError) as caught:
            self.get(key)
        return caught.value.response["ResponseMetadata"]["HTTPStatusCode"]


def test_p100_fifty_objects_of_the_library_are_read(site):
    contexts = [{}, {"tenant": "a \"b\"", "purpose": "backup"}]
    bodies_of = site.write(
        (f"fifty/{version}/{size}/{len(context)}", size, version, context, False)
        for version in ("v2", "v3") for size in SIZES for context in contexts
    )
    assert len(bodies_of) == 52
    for key, body in bodies_of.items():
        got = site.get(key)
        assert got["Body"].read() == body, key
        head = site.client.head_object(Bucket=site.bucket, Key=key)
        for said in (got, head):
            assert said["ContentLength"] == len(body) and said["ETag"] == got["ETag"]
            assert (said["Metadata"], said["ContentType"]) == ({"colour": "blue"}, "text/x-test")
    listed = site.client.list_objects_v2(Bucket=site.bucket, Prefix="fifty/")["Contents"]
    assert {entry["Key"]: entry["Size"] for entry in listed} == {key: len(body) for key, body in bodies_of.items()}


def test_p100_objects_that_it_wrote_in_parts_are_read(site):
    # What it calls the last part is an object of one tag all the same.
    made = site.write((f"parts/{version}", 12 * MIB + 5, version, {}, True) for version in ("v2", "v3"))
    random.seed(7)
    for key, body in made.items():
        assert site.get(key)["Body"].read() == body, key
        for _ in range(20):
            first = random.randrange(len(body))
            last = random.randrange(first, len(body))
            part = site.get(key, Range=f"bytes={first}-{last}")
            assert part["Body"].read() == body[first : last + 1]
            assert part["ContentRange"] == f"bytes {first}-{last}/{len(body)}"


def test_p101_p102_whatever_is_changed_is_refused(site):
    for version in ("v2", "v3"):
        key = f"changed/{version}"
        site.write([(key, 100_000, version, {"tenant": "a"}, False)])
        original = stored.fetch(site.upstream, site.bucket, key)
        for at in (0, 50_000, len(original.body) - 1):
            body = bytearray(original.body)
            body[at] ^= 1
            stored.put(site.upstream, site.bucket, key, stored.Stored(original.metadata, bytes(body)))
            assert site.refusal(key) == 500
        for cut in (0, 16, 99_999):
            stored.put(site.upstream, site.bucket, key, stored.Stored(original.metadata, original.body[:cut]))
            assert site.refusal(key) == 500
        for name, value in original.metadata.items():
            if not name.startswith("x-amz-"):
                continue
            for change in (None, changed(value)):
                metadata = {other: text for other, text in original.metadata.items() if other != name}
                if change is not None:
                    metadata[name] = change
                stored.put(site.upstream, site.bucket, key, stored.Stored(metadata, original.body))
                assert site.refusal(key) in (403, 500), (name, change)
        stored.put(site.upstream, site.bucket, key, original)
        assert site.get(key)["Body"].read() == bodies.body(100_000, 0)


def changed(value):
    """A base64 value with one bit changed, or another text."""
    try:
        decoded = bytearray(base64.b64decode(value, validate=True))
        decoded[-1] ^= 1
        return base64.b64encode(decoded).decode()
    except ValueError:
        return value[:-3] + "x" + value[-2:]


def test_p105_aws_s3_cp_moves_them_in_place(site, tmp_path):
    entries = [("small", 70_000, False), ("empty", 0, False), ("large", 12 * MIB + 5, True)]
    made = site.write(
        (f"moved/{version}/{name}", size, version, {}, parts)
        for version in ("v2", "v3") for name, size, parts in entries
    )
    where = f"s3://{site.bucket}/moved/"
    Tools(site.proxy.endpoint, tmp_path).aws("s3", "cp", "--recursive", where, where)
    for key, body in made.items():
        got = site.get(key)
        assert got["Body"].read() == body, key
        assert got["ServerSideEncryption"] == "aws:kms"
        moved = stored.fetch(site.upstream, site.bucket, key)
        assert "s3seal-key" in moved.metadata and not any(name.startswith("x-amz-") for name in moved.metadata)
        if len(body) < MIB:
            assert moved.metadata["colour"] == "blue"
            assert stored.open_with_reference(moved, site.keyring, site.bucket, key) == body
    before = site.proxy.metric("s3seal_s3_encryption_client_reads_total")
    assert site.get("moved/v2/small")["Body"].read() == made["moved/v2/small"]
    assert site.proxy.metric("s3seal_s3_encryption_client_reads_total") == before


def test_p103_larger_ones_are_refused(site):
    site.write([("large", 16 * MIB + 1, "v3", {}, False)])
    assert site.refusal("large") == 403
    assert site.client.head_object(Bucket=site.bucket, Key="large")["ContentLength"] == 16 * MIB + 1

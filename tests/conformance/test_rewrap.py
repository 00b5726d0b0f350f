"""`s3seal rewrap`, `usage` and `verify`: a bucket moves from one key provider to another.

The providers are real: a local keyring, OpenBao Transit, AWS KMS as moto does it. Bodies upstream stay as
they are, byte for byte, and the provider that was left is gone when the objects are read again.
"""
import contextlib
import hashlib
import itertools
import json
import os
import subprocess
import time

import boto3
import pytest

import bodies
import harness
import stored
from conftest import CHECKSUM, SLOW

pytestmark = pytest.mark.proxied

MIB = 1 << 20
COUNT = 5_000 if SLOW else 100
PROVIDERS = ("local", "bao", "kms")
numbers = itertools.count(1)


class Providers:
    """One key in each provider, and the managed key in a keyring of its own."""

    def __init__(self, home):
        self.home = home
        home.mkdir()
        harness.s3seal("key", "create", "--keyring", home / "managed.json", "managed")
        harness.s3seal("key", "create", "--keyring", home / "local.json", "of-local")
        self.mount = f"transit-{os.getpid()}-{next(numbers)}"
        harness.transit_key(self.mount)
        kms = boto3.client(
            "kms", endpoint_url=os.environ["S3SEAL_TEST_KMS"], region_name="us-east-1",
            aws_access_key_id="fake", aws_secret_access_key="fake",
        )
        self.ids = {"local": "of-local", "bao": "of-bao", "kms": kms.create_key()["KeyMetadata"]["Arn"]}

    def keys(self, used, default, registry=None, managed="managed", former=()):
        """The tables of a configuration with these providers."""
        registry = f'registry = "{registry}"' if registry else ""
        tables = [f"""
[keys]
default = "{self.ids[default]}"
managed = "{managed}"
former_managed = {json.dumps(list(former))}
[keys.bucket_keys]
enabled = {"true" if registry else "false"}
{registry}
[[keys.providers]]
kind = "local"
name = "managed"
keyring = "{self.home}/managed.json"
"""]
        tables += [{
            "local": f"""
[[keys.providers]]
kind = "local"
name = "local"
keyring = "{self.home}/local.json"
""",
            "bao": harness.transit_provider(self.mount),
            "kms": f"""
[[keys.providers]]
kind = "aws-kms"
name = "kms"
region = "us-east-1"
endpoint = "{os.environ["S3SEAL_TEST_KMS"]}"
credentials = {{ access_key_id = "fake", secret_access_key = "fake" }}
keys = ["{self.ids["kms"]}"]
""",
        }[name] for name in used]
        return "".join(tables)

    def rules(self, used):
        accepted = json.dumps([self.ids[name] for name in used] + ["managed"])
        return f'[[rules]]\nbuckets = ["*"]\nencryption = "named-key"\naccept_keys = {accepted}\n'


class Site:
    def __init__(self, name, upstreams, home):
        self.name, self.home = name, home
        self.providers = Providers(home / "keys")
        self.upstream_endpoint = upstreams[name]
        self.upstream = upstreams[name].boto()
        self.bucket = f"rewrap-{os.getpid()}-{next(numbers)}"
        self.upstream.create_bucket(Bucket=self.bucket)

    def proxy(self, used, default, registry=None):
        """Not started: also the configuration of the commands."""
        return harness.S3Seal(
            self.home, self.upstream_endpoint, f"{self.name}-{next(numbers)}", checksum=CHECKSUM[self.name],
            keys=self.providers.keys(used, default, registry), rules=self.providers.rules(used),
        )

    @contextlib.contextmanager
    def serving(self, *args, **kwargs):
        proxy = self.proxy(*args, **kwargs).start()
        try:
            yield proxy, proxy.endpoint.boto()
        finally:
            proxy.stop()

    def command(self, proxy, command, *args, url=None):
        url = url or f"s3://{self.bucket}/"
        if command == "rewrap" and self.name == "ceph" and "--bucket-keys" not in args:
            # Ceph Pacific ignores the condition on the source of a part, and refuses If-Match on a
            # write: without this it would be refused.
            args = (*args, "--nobody-writes")
        return [harness.binary(), command, "--config", str(proxy.config), "--json", *args, url]

    def run(self, proxy, command, *args, code=0, url=None):
        done = subprocess.run(
            self.command(proxy, command, *args, url=url), capture_output=True, text=True, timeout=1800,
            env={"PATH": os.environ["PATH"]},
        )
        assert done.returncode == code, f"{done.stdout}\n{done.stderr}"
        return json.loads(done.stdout)

    def bodies(self):
        """What is stored, but for the one value that rewrapping rewrites."""
        found = {}
        for page in self.upstream.get_paginator("list_objects_v2").paginate(Bucket=self.bucket):
            for entry in page.get("Contents", []):
                got = self.upstream.get_object(Bucket=self.bucket, Key=entry["Key"])
                metadata = {name.lower(): value for name, value in got["Metadata"].items()}
                metadata.pop(stored.ENVELOPE)
                shown = {name: got.get(name) for name in ("ContentType", "CacheControl", "StorageClass")}
                found[entry["Key"]] = (hashlib.sha256(got["Body"].read()).hexdigest(), metadata, shown)
        return found


@pytest.fixture(params=["seaweedfs", "ceph"])
def site(request, upstreams, tmp_path):
    if SLOW and request.param == "ceph":
        pytest.skip("its data is in memory: the full size runs over SeaweedFS")
    return Site(request.param, upstreams, tmp_path)


def plain(number):
    return bodies.body(100 + number % 3000, number)


def write(site, client, count):
    for number in range(count):
        kwargs = {"Metadata": {"n": str(number)}, "ContentType": "text/x", "CacheControl": "no-cache"}
        if number % 50 == 0:
            kwargs["Tagging"] = "a=1&b=%C3%A9"
        client.put_object(Bucket=site.bucket, Key=f"{number:05}", Body=plain(number), **kwargs)
    upload = client.create_multipart_upload(Bucket=site.bucket, Key="large", Metadata={"n": "large"})
    parts = []
    for part in (1, 2):
        body = bodies.body(5 * MIB, part)
        sent = client.upload_part(Bucket=site.bucket, Key="large", UploadId=upload["UploadId"], PartNumber=part, Body=body)
        parts.append({"PartNumber": part, "ETag": sent["ETag"]})
    client.complete_multipart_upload(
        Bucket=site.bucket, Key="large", UploadId=upload["UploadId"], MultipartUpload={"Parts": parts}
    )


def check(site, client, count, key_id):
    for number in range(count):
        got = client.get_object(Bucket=site.bucket, Key=f"{number:05}")
        assert got["Body"].read() == plain(number), number
        assert (got["SSEKMSKeyId"], got["Metadata"], got["ContentType"]) == (key_id, {"n": str(number)}, "text/x")
        if number % 50 == 0:
            tags = client.get_object_tagging(Bucket=site.bucket, Key=f"{number:05}")["TagSet"]
            assert {tag["Key"]: tag["Value"] for tag in tags} == {"a": "1", "b": "é"}
    got = client.get_object(Bucket=site.bucket, Key="large")
    assert got["Body"].read() == bodies.body(5 * MIB, 1) + bodies.body(5 * MIB, 2)
    assert got["SSEKMSKeyId"] == key_id


def test_p120_p121_a_bucket_moves_over_three_providers_and_back(site):
    with site.serving(["local"], "local") as (_, client):
        write(site, client, COUNT)
    before = site.bodies()
    assert len(before) == COUNT + 1
    for old, new in (("local", "bao"), ("bao", "kms"), ("kms", "local")):
        both = site.proxy([old, new], new)
        checkpoint = site.home / f"{new}.json"
        arguments = ("--to", site.providers.ids[new], "--checkpoint", str(checkpoint))
        foreseen = site.run(both, "rewrap", *arguments, "--dry-run")
        assert (foreseen["rewrapped"], foreseen["complete"]) == (COUNT + 1, True)
        for _ in range(3):
            slowly = site.command(both, "rewrap", *arguments, "--rate", str(COUNT // 5))
            run = subprocess.Popen(slowly, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={"PATH": os.environ["PATH"]})
            time.sleep(1.5)
            run.kill()
            assert run.wait() == -9, "it was to be killed half way"
        done = site.run(both, "rewrap", *arguments)
        assert 0 < done["rewrapped"] < COUNT + 1 and done["failed"] == done["changed"] == 0, done
        usage = site.run(both, "usage")
        assert [(row["key_id"], row["objects"]) for row in usage["keys"]] == [(site.providers.ids[new], COUNT + 1)]
        # the old provider is gone
        with site.serving([new], new) as (_, client):
            check(site, client, COUNT, site.providers.ids[new])
        assert site.bodies() == before, "nothing but the wrap has changed"
    verified = site.run(site.proxy(["local"], "local"), "verify")
    assert (verified["verified"], verified["failed"]) == (COUNT + 1, 0)


def test_p122_bucket_keys_move_with_a_constant_number_of_calls(site):
    """Also older versions, which no copy could give another wrap."""
    site.upstream.put_bucket_versioning(Bucket=site.bucket, VersioningConfiguration={"Status": "Enabled"})
    registry = site.home / "registry"
    with site.serving(["local"], "local", registry) as (_, client):
        write(site, client, COUNT)
        write(site, client, 10)
    listed = site.upstream.list_object_versions(Bucket=site.bucket, MaxKeys=1000)["Versions"]
    before = {(entry["Key"], entry["VersionId"]): entry["LastModified"] for entry in listed}
    both = site.proxy(["local", "kms"], "kms", registry)
    done = site.run(both, "rewrap", "--bucket-keys", "--to", site.providers.ids["kms"], url=f"s3://{site.bucket}")
    assert (done["rewrapped"], done["failed"]) == (1, 0), "one bucket key, whatever the number of objects"
    again = site.run(both, "rewrap", "--bucket-keys", "--to", site.providers.ids["kms"], url=f"s3://{site.bucket}")
    assert (again["rewrapped"], again["already_there"]) == (0, 1)
    listed = site.upstream.list_object_versions(Bucket=site.bucket, MaxKeys=1000)["Versions"]
    assert {(entry["Key"], entry["VersionId"]): entry["LastModified"] for entry in listed} == before
    with site.serving(["kms"], "kms", registry) as (proxy, client):
        calls = proxy.metric("s3seal_key_requests_total")
        count = lambda found: sum(value for labels, value in found.items() if 'call="unwrap"' in labels)
        check(site, client, COUNT, site.providers.ids["kms"])
        versions = [entry for entry in listed if not entry["IsLatest"]]
        assert len(versions) >= 10
        for entry in versions[:20]:
            got = client.get_object(Bucket=site.bucket, Key=entry["Key"], VersionId=entry["VersionId"])
            assert got["SSEKMSKeyId"] == site.providers.ids["kms"] and got["Body"].read()
        after = proxy.metric("s3seal_key_requests_total")
        unwraps = count(after) - count(calls)
        # one bucket key, a minute in the cache
        assert 1 <= unwraps <= 5, f"{unwraps} calls for {COUNT} objects"
    # Without the registry the objects carry the old wrap, and its provider is gone.
    with site.serving(["kms"], "kms") as (_, client):
        with pytest.raises(client.exceptions.ClientError) as refused:
            client.get_object(Bucket=site.bucket, Key="00000")
        assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 500


def test_a_rotated_local_key_is_rewrapped_and_its_old_version_destroyed(site):
    keyring = site.home / "keys/local.json"
    with site.serving(["local"], "local") as (_, client):
        write(site, client, 20)
    harness.s3seal("key", "rotate", "--keyring", keyring, "of-local")
    config = site.proxy(["local"], "local")
    assert site.run(config, "usage")["keys"][0]["key_version"] == 1
    done = site.run(config, "rewrap", "--to", "of-local")
    assert (done["rewrapped"], done["already_there"]) == (21, 0)
    assert site.run(config, "rewrap", "--to", "of-local")["already_there"] == 21
    assert [row["key_version"] for row in site.run(config, "usage")["keys"]] == [2]
    harness.s3seal("key", "destroy", "--keyring", keyring, "of-local", "--version", "1", "--force")
    with site.serving(["local"], "local") as (_, client):
        check(site, client, 20, "of-local")


def key_command(site, *args):
    done = harness.s3seal(
        "key", args[0], "--keyring", site.home / "keys/local.json", *args[1:], check=False, seconds=600
    )
    return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())


def test_p124_a_version_stays_while_anything_needs_it(site):
    """Also an older version of an object, which no usage of the current ones shows."""
    # Buckets of other tests have objects under keys of the usual name.
    key = site.providers.ids["local"] = f"of-{site.bucket}"
    key_command(site, "create", key)
    site.upstream.put_bucket_versioning(Bucket=site.bucket, VersioningConfiguration={"Status": "Enabled"})
    with site.serving(["local"], "local") as (_, client):
        write(site, client, 3)
        old = client.put_object(Bucket=site.bucket, Key="deleted", Body=b"still there")["VersionId"]
        client.delete_object(Bucket=site.bucket, Key="deleted")
    key_command(site, "rotate", key)
    config = site.proxy(["local"], "local")
    # Buckets of other tests hold what cannot be told, since it was tampered with.
    look = ("--version", "1", "--config", str(config.config), "--bucket", site.bucket)
    on = key_command(site, "destroy", key, *look)
    assert on.returncode == 1 and "disable it first" in on.stderr, on.stderr
    key_command(site, "disable", key, "--version", "1")
    refused = key_command(site, "destroy", key, *look)
    assert refused.returncode == 1 and f"s3://{site.bucket}/" in refused.stderr, refused.stderr
    key_command(site, "enable", key, "--version", "1")
    assert site.run(config, "rewrap", "--to", key)["rewrapped"] == 4
    assert [row["key_version"] for row in site.run(config, "usage")["keys"]] == [2]
    versions = {row["key_version"]: row["objects"] for row in site.run(config, "usage", "--versions")["keys"]}
    assert versions == {1: 5, 2: 4}
    assert site.run(config, "verify", "--versions")["verified"] == 9
    key_command(site, "disable", key, "--version", "1")
    refused = key_command(site, "retire", key, *look)
    assert refused.returncode == 1 and "needs it" in refused.stderr, refused.stderr
    listed = site.upstream.list_object_versions(Bucket=site.bucket)["Versions"]
    for entry in listed:
        if not entry["IsLatest"] or entry["VersionId"] == old:
            site.upstream.delete_object(Bucket=site.bucket, Key=entry["Key"], VersionId=entry["VersionId"])
    done = key_command(site, "destroy", key, *look)
    assert done.returncode == 0, done.stderr
    with site.serving(["local"], "local") as (_, client):
        check(site, client, 3, key)
    unasked = key_command(site, "retire", key, "--version", "1")
    assert "nobody looked" in unasked.stderr


def test_new_data_keys_leave_no_object_of_the_other_mode_unsaid(site):
    with site.serving(["local"], "local") as (_, client):
        client.put_object(Bucket=site.bucket, Key="named", Body=b"x")
        client.put_object(Bucket=site.bucket, Key="managed", Body=b"x", ServerSideEncryption="AES256")
    done = site.run(site.proxy(["local"], "local"), "rewrap", "--to", "of-local", "--new-data-key", code=1)
    assert (done["rewrapped"], done["other_mode"]) == (1, 1)


def test_p125_new_data_keys_encrypt_the_bodies_anew(site):
    with site.serving(["local"], "local") as (_, client):
        write(site, client, 6)
        client.put_object(Bucket=site.bucket, Key="checked", Body=b"x" * 70_000, ChecksumAlgorithm="SHA256")
        upload = client.create_multipart_upload(Bucket=site.bucket, Key="empty")
        sent = client.upload_part(Bucket=site.bucket, Key="empty", UploadId=upload["UploadId"], PartNumber=1, Body=b"")
        client.complete_multipart_upload(
            Bucket=site.bucket, Key="empty", UploadId=upload["UploadId"],
            MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": sent["ETag"]}]},
        )
        shown = {key: describe(client, site.bucket, key) for key in ("00001", "checked", "large", "empty")}
    config = site.proxy(["local"], "local")
    before = site.bodies()
    flags = ["--to", "of-local", "--new-data-key"]
    foreseen = site.run(config, "rewrap", *flags, "--dry-run")
    assert (foreseen["rewrapped"], site.bodies()) == (9, before)
    done = site.run(config, "rewrap", *flags)
    assert (done["rewrapped"], done["failed"], done["already_there"]) == (9, 0, 0), done
    after = site.bodies()
    assert all(after[key][0] != before[key][0] for key in before), "every stored body is another one"
    assert {key: value[2] for key, value in after.items()} == {key: value[2] for key, value in before.items()}
    with site.serving(["local"], "local") as (_, client):
        check(site, client, 6, "of-local")
        assert {key: describe(client, site.bucket, key) for key in shown} == shown
        assert client.get_object(Bucket=site.bucket, Key="empty")["Body"].read() == b""
        part = client.get_object(Bucket=site.bucket, Key="large", PartNumber=2)
        assert part["Body"].read() == bodies.body(5 * MIB, 2)
    assert site.run(config, "verify")["verified"] == 9


@pytest.mark.parametrize("manner", [(), ("--new-data-key",)])
def test_p120_an_acl_of_its_own_stays(site, manner):
    with site.serving(["local"], "local") as (_, client):
        for key in ("public", "private"):
            client.put_object(Bucket=site.bucket, Key=key, Body=b"x")
        write(site, client, 0)
    for key in ("public", "large"):
        site.upstream.put_object_acl(Bucket=site.bucket, Key=key, ACL="public-read")
    acls = lambda: {
        key: sorted(json.dumps(grant, sort_keys=True) for grant in site.upstream.get_object_acl(Bucket=site.bucket, Key=key)["Grants"])
        for key in ("public", "private", "large")
    }
    before = acls()
    assert before["public"] != before["private"]
    harness.s3seal("key", "rotate", "--keyring", site.home / "keys/local.json", "of-local")
    assert site.run(site.proxy(["local"], "local"), "rewrap", "--to", "of-local", *manner)["rewrapped"] == 3
    assert acls() == before


def describe(client, bucket, key):
    """What clients see of an object that is to stay as it is."""
    head = client.head_object(Bucket=bucket, Key=key, ChecksumMode="ENABLED")
    names = ("ContentLength", "ContentType", "Metadata", "ChecksumSHA256", "ChecksumType", "SSEKMSKeyId")
    return {name: head.get(name) for name in names} | {"parts": head["ETag"].strip('"').rpartition("-")[2]}


def test_what_cannot_be_rewrapped_is_said(site):
    with site.serving(["local"], "local") as (_, client):
        write(site, client, 5)
        client.put_object(Bucket=site.bucket, Key="managed", Body=b"x", ServerSideEncryption="AES256")
        client.put_object(Bucket=site.bucket, Key="full", Body=b"x", Metadata={"m": "v" * 1760})
    site.upstream.put_object(Bucket=site.bucket, Key="plain", Body=b"x")
    config = site.proxy(["local", "kms"], "kms")
    done = site.run(config, "rewrap", "--to", site.providers.ids["kms"], code=1)
    expected = {"rewrapped": 6, "other_mode": 1, "not_encrypted": 1, "metadata_too_large": 1, "failed": 0}
    assert {name: done[name] for name in expected} == expected
    # a rule that would not accept the new key
    narrow = site.proxy(["local", "bao"], "local")
    text = narrow.config.read_text().replace('accept_keys = ["of-local", "of-bao", "managed"]', 'accept_keys = ["of-local", "managed"]')
    narrow.config.write_text(text)
    refused = site.run(narrow, "rewrap", "--to", "of-bao", code=1)
    assert refused["rewrapped"] == 0 and refused["failed"] > 0
    nobody = subprocess.run(
        site.command(config, "rewrap", "--to", "nobody"), capture_output=True, text=True, timeout=60, env={"PATH": os.environ["PATH"]}
    )
    assert nobody.returncode == 64 and "nobody" in nobody.stderr


def test_verify_finds_what_was_changed(site):
    with site.serving(["local"], "local") as (_, client):
        write(site, client, 5)
    got = site.upstream.get_object(Bucket=site.bucket, Key="00003")
    body = bytearray(got["Body"].read())
    body[10] ^= 1
    site.upstream.put_object(Bucket=site.bucket, Key="00003", Body=bytes(body), Metadata=got["Metadata"])
    done = site.run(site.proxy(["local"], "local"), "verify", code=1)
    assert (done["verified"], done["failed"]) == (5, 1)


def test_workers_share_the_work(site):
    with site.serving(["local"], "local") as (_, client):
        write(site, client, 40)
    config = site.proxy(["local", "bao"], "bao")
    counts = [site.run(config, "rewrap", "--to", "of-bao", "--shard", f"{index}/3")["rewrapped"] for index in range(3)]
    assert sum(counts) == 41 and all(counts)


def test_p123_d43_update_object_encryption_is_the_same_on_one_object(site):
    with site.serving(["local", "kms"], "local") as (_, client):
        write(site, client, 1)
        before = site.bodies()["00000"]
        arn = site.providers.ids["kms"]
        # The rule lets clients name its own key only.
        with pytest.raises(client.exceptions.ClientError):
            client.update_object_encryption(
                Bucket=site.bucket, Key="00000", ObjectEncryption={"SSEKMS": {"KMSKeyArn": arn}}
            )
    rules = site.providers.rules(["local", "kms"]) + f'keys = ["{site.providers.ids["kms"]}"]\n'
    proxy = harness.S3Seal(
        site.home, site.upstream_endpoint, f"{site.name}-{next(numbers)}", checksum=CHECKSUM[site.name],
        keys=site.providers.keys(["local", "kms"], "local"), rules=rules,
    ).start()
    try:
        client = proxy.endpoint.boto()
        for bucket_key in (False, True):
            client.update_object_encryption(
                Bucket=site.bucket, Key="00000",
                ObjectEncryption={"SSEKMS": {"KMSKeyArn": arn, "BucketKeyEnabled": bucket_key}},
            )
            got = client.get_object(Bucket=site.bucket, Key="00000")
            assert (got["SSEKMSKeyId"], got.get("BucketKeyEnabled", False)) == (arn, bucket_key)
            assert got["Body"].read() == plain(0)
        assert site.bodies()["00000"] == before
        client.put_object(Bucket=site.bucket, Key="managed", Body=b"x", ServerSideEncryption="AES256")
        client.update_object_encryption(
            Bucket=site.bucket, Key="managed", ObjectEncryption={"SSEKMS": {"KMSKeyArn": arn}}
        )
        assert client.head_object(Bucket=site.bucket, Key="managed")["SSEKMSKeyId"] == arn
        with pytest.raises(client.exceptions.ClientError) as refused:
            client.update_object_encryption(
                Bucket=site.bucket, Key="managed", VersionId="null", ObjectEncryption={"SSEKMS": {"KMSKeyArn": arn}}
            )
        assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 501
    finally:
        proxy.stop()


def test_the_managed_key_can_be_replaced(site):
    """The key that was the managed one opens managed objects until they are rewrapped, and is never named."""
    with site.serving(["local"], "local") as (_, client):
        write(site, client, 1)
        client.put_object(Bucket=site.bucket, Key="managed", Body=b"x", ServerSideEncryption="AES256")
    harness.s3seal("key", "create", "--keyring", site.home / "keys/managed.json", "managed-2")
    rules = '[[rules]]\nbuckets = ["*"]\nencryption = "named-key"\n'
    config = harness.S3Seal(
        site.home, site.upstream_endpoint, f"{site.name}-{next(numbers)}", checksum=CHECKSUM[site.name],
        keys=site.providers.keys(["local"], "local", managed="managed-2", former=["managed"]), rules=rules,
    ).start()
    try:
        client = config.endpoint.boto()
        assert client.get_object(Bucket=site.bucket, Key="managed")["Body"].read() == b"x"
        with pytest.raises(client.exceptions.ClientError) as refused:
            client.put_object(Bucket=site.bucket, Key="no", Body=b"x", ServerSideEncryption="aws:kms", SSEKMSKeyId="managed")
        assert refused.value.response["Error"]["Code"] == "AccessDenied"
        done = site.run(config, "rewrap", "--to", "managed-2")
        assert (done["rewrapped"], done["other_mode"], done["failed"]) == (1, 2, 0)
        usage = {row["key_id"]: row["objects"] for row in site.run(config, "usage")["keys"]}
        assert usage == {"managed-2": 1, "of-local": 2}
        assert client.get_object(Bucket=site.bucket, Key="managed")["Body"].read() == b"x"
    finally:
        config.stop()


def test_bucket_keys_of_several_keys_move_one_by_one(site):
    registry = site.home / "registry"
    for default in ("local", "bao"):
        with site.serving(["local", "bao"], default, registry) as (_, client):
            client.put_object(Bucket=site.bucket, Key=default, Body=b"x")
    config = site.proxy(["local", "bao", "kms"], "kms", registry)
    arguments = ("--bucket-keys", "--to", site.providers.ids["kms"])
    url = f"s3://{site.bucket}"
    command = site.command(config, "rewrap", *arguments, url=url)
    refused = subprocess.run(command, capture_output=True, text=True, timeout=60, env={"PATH": os.environ["PATH"]})
    assert refused.returncode == 64 and "say --from" in refused.stderr
    assert site.run(config, "rewrap", *arguments, "--from", "of-bao", url=url)["rewrapped"] == 1
    found = {row["key_id"]: row["objects"] for row in site.run(config, "usage")["keys"]}
    assert found == {site.providers.ids["kms"]: 1, "of-local": 1}


def test_an_upstream_without_conditions_on_parts_is_found_out(upstreams, tmp_path):
    site = Site("ceph", upstreams, tmp_path)
    with site.serving(["local"], "local") as (_, client):
        write(site, client, 3)
    before = site.bodies()
    config = site.proxy(["local", "bao"], "bao")
    command = [harness.binary(), "rewrap", "--config", str(config.config), "--json", "--to", "of-bao", f"s3://{site.bucket}/"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env={"PATH": os.environ["PATH"]})
    summary = json.loads(done.stdout)
    assert (done.returncode, summary["rewrapped"], summary["failed"]) == (1, 3, 1), done.stderr
    assert "ignores x-amz-copy-source-if-match" in done.stderr
    assert site.bodies() == before
    assert not site.upstream.list_multipart_uploads(Bucket=site.bucket).get("Uploads")

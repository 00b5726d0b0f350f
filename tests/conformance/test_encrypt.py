"""`s3seal encrypt`: objects that were there before the proxy, sealed in place.

They are written around the proxy, with bodies of their own: see bodies.py.
"""
import json
import os
import signal
import subprocess
import threading
import time

import boto3.s3.transfer
import pytest

import bodies
import harness
import stored

pytestmark = pytest.mark.proxied

MIB = 1 << 20
KEYS = {
    "empty": 0,
    "one": 1,
    "chunk": 65536,
    "longer": 5 * MIB + 1,
    "folder/a b+c%d/é~": 70_000,
    "dots/..x": 100,
}


def plain(size, seed=0):
    return bodies.body(size, seed, bodies.CONTROL)


@pytest.fixture(params=["seaweedfs", "ceph"])
def site(request, proxies, upstreams, bucket_of):
    """A proxy, its upstream, and a bucket of its own."""
    name = request.param
    proxy = proxies(f"{name}-http")
    upstream = upstreams[name].boto()
    bucket = f"encrypt-{os.getpid()}-{abs(hash(request.node.name)) % 10**9}"
    upstream.create_bucket(Bucket=bucket)
    return Site(proxy, upstream, bucket, name)


class Site:
    def __init__(self, proxy, upstream, bucket, name):
        self.proxy, self.upstream, self.bucket, self.name = proxy, upstream, bucket, name
        self.client = proxy.endpoint.boto()

    def command(self, *args):
        url = f"s3://{self.bucket}/"
        return [harness.binary(), "encrypt", "--config", str(self.proxy.config), "--json", *args, url]

    def encrypt(self, *args, code=0):
        done = subprocess.run(self.command(*args), capture_output=True, text=True, timeout=300, env={"PATH": os.environ["PATH"]})
        assert done.returncode == code, f"{done.stdout}\n{done.stderr}"
        return json.loads(done.stdout)

    def put(self, key, body, **kwargs):
        self.upstream.put_object(Bucket=self.bucket, Key=key, Body=body, **kwargs)

    def is_sealed(self, key):
        head = self.upstream.head_object(Bucket=self.bucket, Key=key)
        return stored.HEADER in {name.lower() for name in head["Metadata"]}

    def read(self, key):
        return self.client.get_object(Bucket=self.bucket, Key=key)["Body"].read()


def test_a_bucket_is_adopted(site):
    for key, size in KEYS.items():
        site.put(key, plain(size, size), Metadata={"colour": "blue"}, ContentType="text/x", Tagging="a=1&b=%C3%A9", CacheControl="no-cache")
    site.put("folder/", b"")
    site.client.put_object(Bucket=site.bucket, Key="new", Body=bodies.body(1000))
    foreseen = site.encrypt("--dry-run")
    assert (foreseen["encrypted"], foreseen["already_encrypted"], foreseen["exempt"]) == (len(KEYS), 1, 1)
    assert not any(site.is_sealed(key) for key in KEYS)
    done = site.encrypt()
    assert done["encrypted_bytes"] == sum(KEYS.values())
    assert {name: done[name] for name in ("encrypted", "failed", "changed", "complete")} == {
        "encrypted": len(KEYS), "failed": 0, "changed": 0, "complete": True,
    }
    for key, size in KEYS.items():
        assert site.is_sealed(key), key
        got = site.client.get_object(Bucket=site.bucket, Key=key)
        assert got["Body"].read() == plain(size, size), key
        assert (got["Metadata"], got["ContentType"], got["CacheControl"]) == ({"colour": "blue"}, "text/x", "no-cache")
        tags = site.client.get_object_tagging(Bucket=site.bucket, Key=key)["TagSet"]
        assert {tag["Key"]: tag["Value"] for tag in tags} == {"a": "1", "b": "é"}, key
    listed = site.client.list_objects_v2(Bucket=site.bucket)["Contents"]
    assert {entry["Key"]: entry["Size"] for entry in listed} == KEYS | {"folder/": 0, "new": 1000}
    again = site.encrypt()
    assert (again["encrypted"], again["already_encrypted"]) == (0, len(KEYS) + 1)


def test_what_lies_there_afterwards_is_sealed_by_the_format(site, upstreams, keyring):
    site.put("object", plain(200_000))
    site.encrypt()
    found = stored.fetch(upstreams[site.name], site.bucket, "object")
    assert bodies.CONTROL not in found.body
    assert stored.open_with_reference(found, keyring, site.bucket, "object") == plain(200_000)


def test_a_large_object_is_written_in_parts(site):
    body = plain(18 * MIB + 7)
    config = boto3.s3.transfer.TransferConfig(multipart_threshold=5 * MIB, multipart_chunksize=5 * MIB)
    path = site.proxy.home / "large"
    path.write_bytes(body)
    site.upstream.upload_file(str(path), site.bucket, "large", Config=config, ExtraArgs={"Metadata": {"colour": "blue"}})
    site.put("even", plain(16 * MIB))
    site.encrypt("--parts-above", "8")
    for key, parts, whole in (("large", 3, body), ("even", 3, plain(16 * MIB))):
        head = site.upstream.head_object(Bucket=site.bucket, Key=key)
        assert head["ETag"].endswith(f'-{parts}"'), "three parts, or two and a seal"
        assert site.read(key) == whole
        part = site.client.get_object(Bucket=site.bucket, Key=key, Range=f"bytes={8 * MIB - 5}-{8 * MIB + 5}")
        assert part["Body"].read() == whole[8 * MIB - 5 : 8 * MIB + 6]
    assert site.client.head_object(Bucket=site.bucket, Key="large")["Metadata"] == {"colour": "blue"}
    assert not site.upstream.list_multipart_uploads(Bucket=site.bucket).get("Uploads")


def test_a_run_that_was_killed_goes_on(site):
    count = 1020
    for index in range(count):
        site.put(f"{index:05}", plain(50, index))
    # One that fails, on the page that is done before the run is killed: a reserved name.
    site.put("00000-broken", plain(50), Metadata={"s3seal-x": "y"})
    checkpoint = site.proxy.home / f"checkpoint-{site.bucket}.json"
    command = site.command("--checkpoint", str(checkpoint), "--concurrency", "4")
    run = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={"PATH": os.environ["PATH"]})
    deadline = time.monotonic() + 120
    while not checkpoint.exists():
        assert run.poll() is None and time.monotonic() < deadline, "no page was done"
        time.sleep(0.01)
    run.kill()
    run.wait()
    assert json.loads(checkpoint.read_text())["after"] == "00998", "a page is 1,000 keys"
    rest = site.encrypt("--checkpoint", str(checkpoint), code=1)
    assert rest["complete"] and 0 < rest["encrypted"] + rest["already_encrypted"] <= 21
    assert (rest["failed"], rest["left_before"]) == (0, 1), "what failed before is not forgotten"
    assert not checkpoint.exists()
    assert site.encrypt(code=1)["failed"] == 1
    site.upstream.delete_object(Bucket=site.bucket, Key="00000-broken")
    assert site.encrypt()["already_encrypted"] == count
    assert all(site.read(f"{index:05}") == plain(50, index) for index in range(0, count, 97))


def test_a_run_that_is_told_to_stop_stops_between_objects(site):
    for index in range(300):
        site.put(f"{index:05}", plain(50, index))
    run = subprocess.Popen(site.command("--concurrency", "1"), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env={"PATH": os.environ["PATH"]})
    while not site.is_sealed("00003"):
        assert run.poll() is None
    run.send_signal(signal.SIGTERM)
    summary = json.loads(run.communicate(timeout=60)[0])
    assert run.returncode == 1 and not summary["complete"] and 0 < summary["encrypted"] < 300
    rest = site.encrypt()
    assert rest["already_encrypted"] == summary["encrypted"]


def test_what_is_written_meanwhile_is_not_lost(proxies, upstreams, bucket_of):
    """Over an upstream that heeds If-Match: the writer's last word is what is there."""
    proxy = proxies("seaweedfs-http")
    site = Site(proxy, upstreams["seaweedfs"].boto(), bucket_of("seaweedfs"), "seaweedfs")
    prefix, keys = "meanwhile/", [f"meanwhile/{n}" for n in range(6)]
    for key in keys:
        site.put(key, plain(300_000))
    last, stop = {}, threading.Event()

    def write():
        turn = 0
        while not stop.is_set():
            turn += 1
            for key in keys:
                body = plain(300, turn)
                site.put(key, body)
                last[key] = body

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(5):
            command = [*site.command()[:-1], f"s3://{site.bucket}/{prefix}"]
            done = subprocess.run(command, capture_output=True, text=True, timeout=300, env={"PATH": os.environ["PATH"]})
            summary = json.loads(done.stdout)
            assert done.returncode == (1 if summary["changed"] else 0), done.stderr
    finally:
        stop.set()
        writer.join()
    subprocess.run(command, check=True, capture_output=True, timeout=300, env={"PATH": os.environ["PATH"]})
    assert {key: site.read(key) for key in keys} == last


def test_usage_errors_say_what_is_wrong(proxies):
    proxy = proxies("seaweedfs-http")
    for arguments, message in (
        (["https://bucket/x"], "s3://bucket/prefix"),
        (["s3://bucket/x", "--checkpoint", "s3://ops"], "a checkpoint is"),
        (["s3://bucket/x", "--concurrency", "0"], "--concurrency"),
    ):
        command = [harness.binary(), "encrypt", "--config", str(proxy.config), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, env={"PATH": os.environ["PATH"]})
        assert done.returncode == 64 and message in done.stderr, done.stderr
    command = [harness.binary(), "encrypt", "--config", str(proxy.config), "s3://there-is-no-such-bucket/"]
    done = subprocess.run([*command, "--dry-run"], capture_output=True, text=True, timeout=60, env={"PATH": os.environ["PATH"]})
    assert done.returncode == 1 and "NoSuchBucket" in done.stderr, done.stderr

"""What lies in SeaweedFS opens without s3seal's server: by the reference model and by `s3seal open`."""
import pytest

import bodies
import stored

pytestmark = pytest.mark.proxied


@pytest.mark.parametrize("size", bodies.SIZES)
@pytest.mark.parametrize("asked", [{}, {"ServerSideEncryption": "AES256"}], ids=["named", "managed"])
def test_opens_elsewhere(seaweedfs, bucket, key, upstreams, keyring, size, asked):
    sent = bodies.body(size, seed=size)
    seaweedfs.boto().put_object(Bucket=bucket, Key=key, Body=sent, **asked)
    lies = stored.fetch(upstreams["seaweedfs"], bucket, key)
    assert len(lies.body) == size + 16 * max(1, -(-size // 65536)) + 128
    assert stored.open_with_reference(lies, keyring, bucket, key) == sent
    assert stored.open_offline(lies, keyring, bucket, key).stdout == sent


def test_ceph_holds_the_same_format(ceph_http, bucket, key, upstreams, keyring):
    sent = bodies.body(70_000)
    ceph_http.boto().put_object(Bucket=bucket, Key=key, Body=sent)
    lies = stored.fetch(upstreams["ceph"], bucket, key)
    assert stored.open_with_reference(lies, keyring, bucket, key) == sent


def test_same_bytes_twice_are_stored_differently(seaweedfs_http, bucket, key, upstreams):
    lying = []
    for _ in range(2):
        seaweedfs_http.boto().put_object(Bucket=bucket, Key=key, Body=bodies.body(1000))
        lying.append(stored.fetch(upstreams["seaweedfs"], bucket, key))
    assert lying[0].body != lying[1].body and lying[0].header != lying[1].header


def test_offline_open_refuses_another_place(seaweedfs_http, bucket, key, upstreams, keyring):
    seaweedfs_http.boto().put_object(Bucket=bucket, Key=key, Body=bodies.body(1000))
    lies = stored.fetch(upstreams["seaweedfs"], bucket, key)
    for where in ((bucket, key + "x"), (bucket + "x", key)):
        done = stored.open_offline(lies, keyring, *where, check=False)
        assert done.returncode == 1 and done.stdout == b""


def test_no_client_signature_or_secret_is_stored(seaweedfs_http, bucket, key, upstreams):
    seaweedfs_http.boto().put_object(Bucket=bucket, Key=key, Body=bodies.body(10), Metadata={"colour": "blue"})
    head = upstreams["seaweedfs"].boto().head_object(Bucket=bucket, Key=key)
    assert {n.lower() for n in head["Metadata"]} == {"colour", stored.HEADER, stored.ENVELOPE}
    assert "ServerSideEncryption" not in head and "aws-chunked" not in head.get("ContentEncoding", "")

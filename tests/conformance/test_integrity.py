"""Whatever happens to a stored object, no byte of wrong plaintext comes out."""
import pytest

import bodies
import rawhttp
import stored
from test_boto3 import raw_key

pytestmark = pytest.mark.proxied
SIZE = 300_000  # five chunks


@pytest.fixture
def upstream(upstreams):
    return upstreams["seaweedfs"]


@pytest.fixture
def written(seaweedfs, bucket, key, upstream):
    """(what was sent, what lies upstream)"""
    sent = bodies.body(SIZE, seed=9)
    seaweedfs.boto().put_object(Bucket=bucket, Key=key, Body=sent)
    return sent, stored.fetch(upstream, bucket, key)


def read_all(endpoint, bucket, key, byte_range=None):
    headers = {"Range": byte_range} if byte_range else {}
    return rawhttp.send(endpoint, "GET", f"/{bucket}/{raw_key(key)}", headers=headers)


def assert_refused(answer, expected, statuses=(500,)):
    """An error before the head, or a broken connection after a true prefix."""
    if answer.status in (0, 200, 206):
        assert not answer.complete, "a complete answer for a damaged object"
        assert expected.startswith(answer.body) and (answer.body != expected or not expected)
    else:
        assert answer.status in statuses, answer
        assert bodies.MARKER not in answer.body


FLIPS = {"first byte": 0, "first tag": 65536, "second chunk": 65552, "last chunk": -129, "trailer": -1}


@pytest.mark.parametrize("at", FLIPS.values(), ids=FLIPS)
def test_flipped_bit(seaweedfs, bucket, key, upstream, written, at):
    sent, lies = written
    damaged = bytearray(lies.body)
    damaged[at] ^= 1
    stored.put(upstream, bucket, key, stored.Stored(lies.metadata, bytes(damaged)))
    assert_refused(read_all(seaweedfs, bucket, key), sent)


def test_flipped_bit_is_found_by_the_range_that_needs_it(seaweedfs, bucket, key, upstream, written):
    sent, lies = written
    damaged = bytearray(lies.body)
    damaged[65552 * 2] ^= 0x80  # in the third chunk
    stored.put(upstream, bucket, key, stored.Stored(lies.metadata, bytes(damaged)))
    assert read_all(seaweedfs, bucket, key, "bytes=0-131071").body == sent[:131072]
    assert_refused(read_all(seaweedfs, bucket, key, "bytes=131072-131072"), sent[131072:131073])
    assert_refused(read_all(seaweedfs, bucket, key, "bytes=100-299999"), sent[100:])


LENGTHS = {"one byte less": -1, "no trailer": -128, "a chunk less": -65552, "half": -SIZE // 2, "nothing but a tag": -SIZE}


@pytest.mark.parametrize("cut", LENGTHS.values(), ids=LENGTHS)
def test_truncated(seaweedfs, bucket, key, upstream, written, cut):
    """The length is an input of the key: not even the first byte opens."""
    sent, lies = written
    stored.put(upstream, bucket, key, stored.Stored(lies.metadata, lies.body[:cut]))
    for answer in (read_all(seaweedfs, bucket, key), read_all(seaweedfs, bucket, key, "bytes=0-0")):
        assert_refused(answer, sent, statuses=(500, 416))
        assert answer.body == b"" or answer.status in (500, 416)


def test_extended(seaweedfs, bucket, key, upstream, written):
    sent, lies = written
    for more in (b"\0", b"\0" * 65552):
        stored.put(upstream, bucket, key, stored.Stored(lies.metadata, lies.body + more))
        answer = read_all(seaweedfs, bucket, key)
        assert_refused(answer, sent)
        assert answer.body == b"" or answer.status == 500


def test_swapped_chunks(seaweedfs, bucket, key, upstream, written):
    sent, lies = written
    c = [lies.body[i * 65552 : (i + 1) * 65552] for i in range(2)]
    stored.put(upstream, bucket, key, stored.Stored(lies.metadata, c[1] + c[0] + lies.body[2 * 65552 :]))
    assert_refused(read_all(seaweedfs, bucket, key), sent)


def test_moved_to_another_key(seaweedfs, bucket, key, upstream, written):
    upstream.boto().copy_object(Bucket=bucket, Key=f"{key}-moved", CopySource={"Bucket": bucket, "Key": key})
    assert_refused(read_all(seaweedfs, bucket, f"{key}-moved"), b"")


def test_moved_to_another_bucket(seaweedfs, bucket, fresh_bucket, key, upstream, written):
    upstream.boto().copy_object(Bucket=fresh_bucket, Key=key, CopySource={"Bucket": bucket, "Key": key})
    assert_refused(read_all(seaweedfs, fresh_bucket, key), b"")


@pytest.mark.parametrize("name", [stored.HEADER, stored.ENVELOPE])
def test_removed_header(seaweedfs, bucket, key, upstream, written, name):
    lies = written[1]
    metadata = {n: v for n, v in lies.metadata.items() if n != name}
    stored.put(upstream, bucket, key, stored.Stored(metadata, lies.body))
    assert_refused(read_all(seaweedfs, bucket, key), b"")


def test_without_our_metadata_it_is_plaintext_and_denied(seaweedfs, bucket, key, upstream, written):
    stored.put(upstream, bucket, key, stored.Stored({}, written[1].body))
    answer = read_all(seaweedfs, bucket, key)
    assert (answer.status, answer.error_code) == (403, "AccessDenied")


def test_foreign_plaintext_is_denied(seaweedfs, bucket, key, upstream):
    upstream.boto().put_object(Bucket=bucket, Key=key, Body=bodies.body(1000, marker=bodies.CONTROL))
    answer = read_all(seaweedfs, bucket, key)
    assert (answer.status, answer.error_code) == (403, "AccessDenied")


def test_header_of_another_object(seaweedfs, bucket, key, upstream, written):
    sent, lies = written
    seaweedfs.boto().put_object(Bucket=bucket, Key=f"{key}-2", Body=bodies.body(SIZE, seed=10))
    other = stored.fetch(upstream, bucket, f"{key}-2")
    for metadata in (
        lies.metadata | {stored.HEADER: other.header},
        lies.metadata | {stored.ENVELOPE: other.envelope},
        other.metadata,
    ):
        stored.put(upstream, bucket, key, stored.Stored(metadata, lies.body))
        assert_refused(read_all(seaweedfs, bucket, key), b"")


@pytest.mark.parametrize("name", [stored.HEADER, stored.ENVELOPE])
def test_damaged_metadata(seaweedfs, bucket, key, upstream, written, name):
    lies = written[1]
    value = lies.metadata[name]
    for damaged in (value[:-4], value + "AAAA", value + "=", ("B" if value[0] == "A" else "A") + value[1:],
                    value[:30] + ("A" if value[30] != "A" else "B") + value[31:]):
        stored.put(upstream, bucket, key, stored.Stored(lies.metadata | {name: damaged}, lies.body))
        assert_refused(read_all(seaweedfs, bucket, key), b"")

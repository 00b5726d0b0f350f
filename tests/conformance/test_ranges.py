"""Ranges are slices of the plaintext."""
import random

import pytest

import bodies
import rawhttp
from conftest import SLOW
from test_boto3 import error_of, raw_key

SIZE = 20 << 20
COUNT = 2000 if SLOW else 300


@pytest.fixture(scope="module")
def plaintext():
    return bodies.body(SIZE, seed=11)


def interesting_ranges(size, count, seed):
    """Around every kind of edge first, then anywhere: (header value, first, last)."""
    edges = [n + d for n in (0, 65536, 2 * 65536, size - 65536, size) for d in (-1, 0, 1) if 0 <= n + d < size]
    yield from ((f"bytes={a}-{b}", a, b) for a in edges for b in edges if a <= b)
    yield from ((f"bytes={a}-", a, size - 1) for a in edges)
    yield from ((f"bytes=-{n}", max(0, size - n), size - 1) for n in (1, 15, 16, 17, 65535, 65536, 65537, size, size + 1))
    yield f"bytes={size - 1}-{size + 10}", size - 1, size - 1
    rng = random.Random(seed)
    for _ in range(count):
        first = rng.randrange(size)
        last = min(size - 1, first + rng.choice([1, 100, 70_000, 1 << 20]) * rng.randrange(1, 4))
        yield f"bytes={first}-{last}", first, last


def test_random_ranges_of_20_mib(seaweedfs_http, bucket, plaintext):
    check_ranges(seaweedfs_http, bucket, "ranges-20m", plaintext, COUNT)


@pytest.mark.parametrize("size", [1, 65535, 65536, 65537, 131072, 131073])
def test_ranges_of_small_objects(endpoint, bucket, key, size):
    check_ranges(endpoint, bucket, key, bodies.body(size, seed=size), 10)


def check_ranges(endpoint, bucket, key, plaintext, count):
    s3, size = endpoint.boto(), len(plaintext)
    s3.put_object(Bucket=bucket, Key=key, Body=plaintext)
    for header, first, last in interesting_ranges(size, count, seed=5):
        if header.startswith("bytes=-") and size < 10 and not endpoint.proxied:
            continue
        answer = s3.get_object(Bucket=bucket, Key=key, Range=header)
        assert answer["ContentRange"] == f"bytes {first}-{last}/{size}", header
        assert answer["ContentLength"] == last - first + 1, header
        assert answer["Body"].read() == plaintext[first : last + 1], header


@pytest.mark.parametrize("header", ["bytes=100-", "bytes=100-200", "bytes=-0"])
def test_unsatisfiable(endpoint, bucket, key, header):
    if header == "bytes=-0" and not endpoint.proxied:
        pytest.skip("upstreams differ")
    endpoint.boto().put_object(Bucket=bucket, Key=key, Body=bodies.body(100))
    answer = rawhttp.send(endpoint, "GET", f"/{bucket}/{raw_key(key)}", headers={"Range": header})
    assert (answer.status, answer.error_code) == (416, "InvalidRange")
    if endpoint.proxied:
        assert b"<ActualObjectSize>100</ActualObjectSize>" in answer.body, "the plaintext size"


@pytest.mark.parametrize("header", ["bytes=0-0", "bytes=-1", "bytes=0-"])
def test_empty_object_has_no_range(endpoint, bucket, key, header):
    if not endpoint.proxied:
        pytest.skip("upstreams differ")
    endpoint.boto().put_object(Bucket=bucket, Key=key, Body=b"")
    assert error_of(endpoint.boto().get_object, Bucket=bucket, Key=key, Range=header) == (416, "InvalidRange")


@pytest.mark.proxied
@pytest.mark.parametrize("header", ["bytes=5-2", "bytes=a-b", "lines=1-2", "bytes=0-1,5-6"])
def test_ignored_ranges_give_the_whole_object(seaweedfs, bucket, key, header):
    sent = bodies.body(100)
    seaweedfs.boto().put_object(Bucket=bucket, Key=key, Body=sent)
    answer = rawhttp.send(seaweedfs, "GET", f"/{bucket}/{raw_key(key)}", headers={"Range": header})
    assert (answer.status, answer.body) == (200, sent)

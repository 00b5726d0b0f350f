"""Conditional reads and writes: decided by the upstream, atomically."""
import concurrent.futures
import threading

import botocore.exceptions
import pytest

import bodies
from test_boto3 import error_of

WRITERS = 32


def test_only_one_of_32_writers_creates(endpoint, bucket, key):
    s3, start = endpoint.boto(), threading.Barrier(WRITERS)

    def write(n):
        start.wait()
        try:
            s3.put_object(Bucket=bucket, Key=key, Body=bodies.body(50_000, seed=n), IfNoneMatch="*")
            return 200
        except botocore.exceptions.ClientError as e:
            return e.response["ResponseMetadata"]["HTTPStatusCode"]

    with concurrent.futures.ThreadPoolExecutor(WRITERS) as pool:
        statuses = list(pool.map(write, range(WRITERS)))
    winners = [n for n, status in enumerate(statuses) if status == 200]
    assert len(winners) == 1 and {s for s in statuses if s != 200} <= {409, 412}
    assert s3.get_object(Bucket=bucket, Key=key)["Body"].read() == bodies.body(50_000, seed=winners[0])


def test_if_none_match_star_on_an_existing_object(endpoint, bucket, key):
    s3, first = endpoint.boto(), bodies.body(1000, seed=1)
    s3.put_object(Bucket=bucket, Key=key, Body=first, IfNoneMatch="*")
    refusal = error_of(s3.put_object, Bucket=bucket, Key=key, Body=bodies.body(1000, seed=2), IfNoneMatch="*")
    assert refusal == (412, "PreconditionFailed")
    assert s3.get_object(Bucket=bucket, Key=key)["Body"].read() == first


def test_compare_and_swap(seaweedfs, bucket, key):
    """PUT If-Match; Ceph Pacific answers it with 412 always."""
    s3 = seaweedfs.boto()
    old = s3.put_object(Bucket=bucket, Key=key, Body=bodies.body(10, seed=1))["ETag"]
    new = s3.put_object(Bucket=bucket, Key=key, Body=bodies.body(20, seed=2), IfMatch=old)["ETag"]
    assert new != old
    refusal = error_of(s3.put_object, Bucket=bucket, Key=key, Body=bodies.body(30, seed=3), IfMatch=old)
    assert refusal == (412, "PreconditionFailed")
    assert s3.head_object(Bucket=bucket, Key=key)["ETag"] == new


def test_conditional_reads(endpoint, bucket, key):
    s3 = endpoint.boto()
    put = s3.put_object(Bucket=bucket, Key=key, Body=bodies.body(10))
    modified = s3.head_object(Bucket=bucket, Key=key)["LastModified"]
    other = '"00000000000000000000000000000000-0"'
    at = {"Bucket": bucket, "Key": key}
    for read in (s3.get_object, s3.head_object):
        read(**at, IfMatch=put["ETag"])
        read(**at, IfNoneMatch=other)
        read(**at, IfUnmodifiedSince=modified)
        assert error_of(read, **at, IfNoneMatch=put["ETag"])[0] == 304
        assert error_of(read, **at, IfMatch=other)[0] == 412
        assert error_of(read, **at, IfModifiedSince=modified)[0] == 304


def test_conditional_delete(seaweedfs, bucket, key):
    s3 = seaweedfs.boto()
    etag = s3.put_object(Bucket=bucket, Key=key, Body=bodies.body(10))["ETag"]
    wrong = '"00000000000000000000000000000000-0"'
    assert error_of(s3.delete_object, Bucket=bucket, Key=key, IfMatch=wrong) == (412, "PreconditionFailed")
    s3.delete_object(Bucket=bucket, Key=key, IfMatch=etag)
    assert error_of(s3.head_object, Bucket=bucket, Key=key)[0] == 404


@pytest.mark.proxied
def test_upstream_form_of_the_etag_is_not_needed(seaweedfs, bucket, key):
    """`-0` is taken off on the way up: what a client was shown is what it may send."""
    s3 = seaweedfs.boto()
    shown = s3.put_object(Bucket=bucket, Key=key, Body=bodies.body(10))["ETag"]
    assert shown.endswith('-0"')
    assert error_of(s3.get_object, Bucket=bucket, Key=key, IfNoneMatch=shown)[0] == 304

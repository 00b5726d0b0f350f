"""obstore, that is Rust's object_store: what delta-rs, Polars, Iceberg and DataFusion stand on."""
import datetime
import ssl
import urllib.request

import obstore
import pytest
from obstore.exceptions import AlreadyExistsError, PreconditionError
from obstore.store import S3Store

import bodies
from harness import object_store_options

MIB = 1 << 20
MINUTE = datetime.timedelta(minutes=1)


@pytest.fixture
def store(seaweedfs, bucket, monkeypatch):
    options = object_store_options(seaweedfs, monkeypatch)
    allow_http = options.pop("aws_allow_http") == "true"
    return S3Store(bucket, config=options, client_options={"allow_http": allow_http}, retry_config={"max_retries": 0})


@pytest.mark.parametrize("size", [0, 100_000, 13 * MIB + 1])
def test_round_trip(store, key, size):
    """The largest is uploaded in parts of 5 MiB, twelve at a time."""
    body = bodies.body(size, seed=size)
    obstore.put(store, key, body, attributes={"Content-Type": "text/x-test", "colour": "blue"})
    got = obstore.get(store, key)
    assert (got.attributes["Content-Type"], got.attributes["colour"]) == ("text/x-test", "blue")
    assert bytes(got.bytes()) == body
    assert b"".join(bytes(piece) for piece in obstore.get(store, key).stream()) == body
    assert obstore.head(store, key)["size"] == size


def test_ranges(store, key):
    body = bodies.body(MIB, seed=2)
    obstore.put(store, key, body)
    starts, ends = [0, 65_530, 900_000], [10, 65_550, MIB]
    ranges = obstore.get_ranges(store, key, starts=starts, ends=ends)
    assert [bytes(piece) for piece in ranges] == [body[start:end] for start, end in zip(starts, ends)]
    assert bytes(obstore.get(store, key, options={"range": {"suffix": 77}}).bytes()) == body[-77:]


def test_created_once_and_swapped(store, key):
    first = obstore.put(store, key, bodies.body(10, seed=1), mode="create")
    with pytest.raises(AlreadyExistsError):
        obstore.put(store, key, bodies.body(20, seed=2), mode="create")
    obstore.put(store, key, bodies.body(30, seed=3), mode={"e_tag": first["e_tag"]})
    with pytest.raises(PreconditionError):
        obstore.put(store, key, bodies.body(40, seed=4), mode={"e_tag": first["e_tag"]})
    assert bytes(obstore.get(store, key).bytes()) == bodies.body(30, seed=3)


def test_listed_and_deleted(store, key):
    names = ["a", "sub/b", "sub/c"]
    for size, name in enumerate(names):
        obstore.put(store, f"{key}/{name}", bodies.body(size))
    listed = [entry for page in obstore.list(store, prefix=key) for entry in page]
    assert [(entry["path"], entry["size"]) for entry in listed] == [(f"{key}/{name}", n) for n, name in enumerate(names)]
    assert list(obstore.list_with_delimiter(store, prefix=key)["common_prefixes"]) == [f"{key}/sub"]
    obstore.delete(store, [entry["path"] for entry in listed])  # one DeleteObjects
    assert [page for page in obstore.list(store, prefix=key) if page] == []


def test_copied_and_renamed(store, key):
    body = bodies.body(70_000, seed=5)
    obstore.put(store, f"{key}/a", body)
    obstore.copy(store, f"{key}/a", f"{key}/copy")
    obstore.rename(store, f"{key}/copy", f"{key}/moved")
    assert bytes(obstore.get(store, f"{key}/moved").bytes()) == body
    listed = [entry["path"] for page in obstore.list(store, prefix=key) for entry in page]
    assert listed == [f"{key}/a", f"{key}/moved"]


def test_presigned(store, key, seaweedfs):
    body = bodies.body(1000, seed=6)
    context = ssl.create_default_context(cafile=seaweedfs.ca) if seaweedfs.tls else None
    put = urllib.request.Request(obstore.sign(store, "PUT", key, MINUTE), body, method="PUT")
    urllib.request.urlopen(put, context=context).close()
    with urllib.request.urlopen(obstore.sign(store, "GET", key, MINUTE), context=context) as answer:
        assert answer.read() == body

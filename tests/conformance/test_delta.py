"""delta-rs commits with PutObject If-None-Match: of two writers at once, none may lose a commit."""
import concurrent.futures
import threading

import deltalake
import polars
import pytest

import bodies
from harness import object_store_options

COMMITS, ROWS = 6, 1000  # of each writer, of each commit


@pytest.fixture
def options(seaweedfs, monkeypatch):
    return object_store_options(seaweedfs, monkeypatch) | {"max_retries": "0", "aws_conditional_put": "etag"}


@pytest.fixture
def uri(bucket, key):
    return f"s3://{bucket}/{key}"


def rows(writer, commit):
    first = (writer * COMMITS + commit) * ROWS
    return polars.DataFrame({"writer": [writer] * ROWS, "number": range(first, first + ROWS), "note": [bodies.MARKER.decode()] * ROWS})


def numbers(uri, options):
    table = deltalake.DeltaTable(uri, storage_options=options)
    return sorted(table.to_pyarrow_table(columns=["number"])["number"].to_pylist())


def test_two_writers_lose_nothing(uri, options):
    deltalake.write_deltalake(uri, rows(0, 0).clear(), storage_options=options)
    start = threading.Barrier(2)

    def write(writer):
        start.wait()
        for commit in range(COMMITS):
            deltalake.write_deltalake(uri, rows(writer, commit), mode="append", storage_options=options)

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        list(pool.map(write, range(2)))
    assert numbers(uri, options) == list(range(2 * COMMITS * ROWS))
    table = deltalake.DeltaTable(uri, storage_options=options)
    assert sorted(entry["version"] for entry in table.history()) == list(range(2 * COMMITS + 1))


def test_table_is_changed_compacted_and_vacuumed(uri, options):
    for commit in range(3):
        deltalake.write_deltalake(uri, rows(0, commit), mode="append", storage_options=options)
    table = deltalake.DeltaTable(uri, storage_options=options)
    table.delete("number < 10")
    table.optimize.compact()
    table.create_checkpoint()
    assert table.vacuum(retention_hours=0, enforce_retention_duration=False, dry_run=False)
    assert numbers(uri, options) == list(range(10, 3 * ROWS))

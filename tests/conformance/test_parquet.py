"""PyArrow, Polars and DuckDB on Parquet: footers, columns and row groups are read by ranges."""
import pathlib

import duckdb
import duckdb_extension_httpfs
import polars
import pyarrow
import pyarrow.compute
import pyarrow.dataset
import pyarrow.fs
import pyarrow.parquet
import pytest

import bodies
from harness import REGION, object_store_options

ROWS = 300_000
GROUP = 20_000  # rows
MIB = 1 << 20


@pytest.fixture(scope="module")
def table():
    """Some 20 MB: written in several parts, in many row groups."""
    return pyarrow.table({
        "number": range(ROWS),
        "year": [2020 + n % 3 for n in range(ROWS)],
        "note": [f"{bodies.MARKER.decode()} {n:030d}" for n in range(ROWS)],
    })


class TestPyArrow:
    @pytest.fixture
    def files(self, seaweedfs):
        return pyarrow.fs.S3FileSystem(
            access_key=seaweedfs.access_key, secret_key=seaweedfs.secret_key, region=REGION,
            endpoint_override=seaweedfs.host, scheme="https" if seaweedfs.tls else "http",
            tls_ca_file_path=seaweedfs.ca, retry_strategy=pyarrow.fs.AwsDefaultS3RetryStrategy(max_attempts=1),
        )

    def test_dataset_in_folders(self, files, bucket, key, table):
        parts = pyarrow.dataset.partitioning(pyarrow.schema([("year", pyarrow.int64())]), flavor="hive")
        pyarrow.dataset.write_dataset(table, f"{bucket}/{key}", filesystem=files, format="parquet", partitioning=parts)
        stored = pyarrow.dataset.dataset(f"{bucket}/{key}", filesystem=files, partitioning=parts)
        chosen = stored.to_table(["number"], filter=pyarrow.dataset.field("year") == 2021)
        assert sorted(chosen["number"].to_pylist()) == list(range(1, ROWS, 3))
        assert stored.to_table().select(table.column_names).sort_by("number").equals(table)

    def test_rows_of_one_group(self, files, bucket, key, table):
        path = f"{bucket}/{key}"
        pyarrow.parquet.write_table(table, path, filesystem=files, row_group_size=GROUP, compression="none")
        some = pyarrow.parquet.read_table(
            path, filesystem=files, columns=["note"], filters=[("number", ">=", ROWS - 5)]
        )
        assert some.equals(table.select(["note"]).slice(ROWS - 5))
        assert pyarrow.parquet.read_table(path, filesystem=files).equals(table)

    def test_files(self, files, bucket, key):
        body, folder = bodies.body(12 * MIB + 5, seed=1), f"{bucket}/{key}"
        with files.open_output_stream(f"{folder}/a") as stream:
            stream.write(body)
        files.copy_file(f"{folder}/a", f"{folder}/b")
        files.move(f"{folder}/b", f"{folder}/c")
        listed = files.get_file_info(pyarrow.fs.FileSelector(folder))
        assert sorted((info.base_name, info.size) for info in listed) == [("a", len(body)), ("c", len(body))]
        with files.open_input_file(f"{folder}/c") as file:
            assert file.read_at(100_000, 7 * MIB) == body[7 * MIB : 7 * MIB + 100_000]
            assert file.read() == body
        files.delete_dir(folder)
        assert files.get_file_info(folder).type == pyarrow.fs.FileType.NotFound


class TestPolars:
    @pytest.fixture
    def options(self, seaweedfs, monkeypatch):
        return object_store_options(seaweedfs, monkeypatch) | {"max_retries": 0}

    def test_written_scanned_and_streamed(self, options, bucket, key, table):
        frame, uri = polars.from_arrow(table), f"s3://{bucket}/{key}"
        frame.write_parquet(f"{uri}/a.parquet", row_group_size=GROUP, storage_options=options)
        chosen = polars.scan_parquet(f"{uri}/a.parquet", storage_options=options)
        chosen = chosen.filter(polars.col("number") >= ROWS - 5).select("note").collect()
        assert chosen.equals(frame.select("note").tail(5))
        both = polars.scan_parquet(f"{uri}/a.parquet", storage_options=options)
        both.sink_parquet(f"{uri}/b.parquet", storage_options=options)
        assert polars.read_parquet(f"{uri}/b.parquet", storage_options=options).equals(frame)
        counted = polars.scan_parquet(f"{uri}/*.parquet", storage_options=options).select(polars.len()).collect()
        assert counted.item() == 2 * ROWS


class TestDuckDb:
    @pytest.fixture
    def sql(self, seaweedfs):
        """`INSTALL httpfs` downloads; the same extension comes from PyPI."""
        extension = next(pathlib.Path(duckdb_extension_httpfs.__file__).parent.rglob("httpfs.duckdb_extension"))
        connection = duckdb.connect(config={"allow_unsigned_extensions": "true"})
        connection.execute(f"LOAD '{extension}'")
        connection.execute("SET http_retries = 0")
        if seaweedfs.tls:
            connection.execute(f"SET ca_cert_file = '{seaweedfs.ca}'")
        connection.execute(
            f"CREATE SECRET (TYPE s3, KEY_ID '{seaweedfs.access_key}', SECRET '{seaweedfs.secret_key}', "
            f"REGION '{REGION}', ENDPOINT '{seaweedfs.host}', URL_STYLE 'path', USE_SSL {seaweedfs.tls})"
        )
        yield lambda query: connection.execute(query).fetchall()
        connection.close()

    def test_parquet_in_folders(self, sql, bucket, key):
        uri = f"s3://{bucket}/{key}"
        numbers = f"SELECT range AS number, 2020 + range % 3 AS year, '{bodies.MARKER.decode()} ' || range AS note FROM range({ROWS})"
        sql(f"COPY ({numbers}) TO '{uri}' (FORMAT parquet, PARTITION_BY year)")
        stored = f"read_parquet('{uri}/*/*.parquet', hive_partitioning = true)"
        assert sql(f"SELECT count(*), sum(number) FROM {stored}") == [(ROWS, ROWS * (ROWS - 1) // 2)]
        assert sql(f"SELECT count(*) FROM {stored} WHERE year = 2021") == [(ROWS // 3,)]
        assert sql(f"SELECT note FROM {stored} WHERE number = 77777") == [(f"{bodies.MARKER.decode()} 77777",)]
        assert sql(f"SELECT number, year, note FROM {stored} EXCEPT {numbers}") == []

    def test_large_csv(self, sql, bucket, key):
        """Uploaded in parts while it is made."""
        uri = f"s3://{bucket}/{key}.csv"
        sql(f"COPY (SELECT range AS number, '{bodies.MARKER.decode()}' AS note FROM range({2 * ROWS})) TO '{uri}'")
        assert sql(f"SELECT count(*), sum(number) FROM '{uri}'") == [(2 * ROWS, ROWS * (2 * ROWS - 1))]

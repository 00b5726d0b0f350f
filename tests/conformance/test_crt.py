"""boto3 with the transfer client of awscrt: parts and ranges in parallel, with CRC64NVME and CRC32."""
import subprocess
import sys

import pytest

import bodies
import harness

SCRIPT = """
import sys, boto3
from boto3.s3.transfer import TransferConfig
up, down, bucket, key = sys.argv[1:]
crt = TransferConfig(preferred_transfer_client="crt")
s3 = boto3.client("s3")
s3.upload_file(up, bucket, key, Config=crt)
s3.download_file(bucket, key, down, Config=crt)
import boto3.crt
assert boto3.crt.CRT_S3_CLIENT is not None, "the other transfer client was used"
"""


@pytest.mark.parametrize("size", [0, 100_000, (25 << 20) + 9])
def test_round_trip(seaweedfs, bucket, key, tmp_path, size):
    """The endpoint is in the environment: this client takes it from nowhere else."""
    digest = bodies.write_body(tmp_path / "up", size, seed=9)
    environment = harness.Tools(seaweedfs, tmp_path)
    environment.run("python", "-c", SCRIPT, tmp_path / "up", tmp_path / "down", bucket, key, seconds=60)
    assert bodies.sha256_of_file(tmp_path / "down") == digest
    assert seaweedfs.boto().head_object(Bucket=bucket, Key=key)["ContentLength"] == size

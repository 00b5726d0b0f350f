"""awscrt's transfer client: parts and ranges in parallel, with CRC64NVME.

boto3's `preferred_transfer_client="crt"` always speaks TLS and takes no other authority than the
system's; this is the same client, made as s3transfer makes it for others.
"""
import botocore.session
import pytest
from s3transfer import crt

import bodies
import harness

MIB = 1 << 20


@pytest.fixture
def transfers(seaweedfs):
    """Makes a manager; at its end every transfer is done and every file in its place."""
    session = botocore.session.Session()
    session.set_credentials(seaweedfs.access_key, seaweedfs.secret_key)
    credentials = crt.BotocoreCRTCredentialsWrapper(session.get_credentials()).to_crt_credentials_provider()
    client = crt.create_s3_crt_client(harness.REGION, credentials, use_ssl=seaweedfs.tls, verify=seaweedfs.ca)
    where = {"region_name": harness.REGION, "endpoint_url": seaweedfs.url}
    return lambda: crt.CRTTransferManager(client, crt.BotocoreCRTRequestSerializer(session, where))


@pytest.mark.parametrize("size", [0, 100_000, 25 * MIB + 9])
def test_round_trip(seaweedfs, transfers, bucket, key, tmp_path, size):
    digest = bodies.write_body(tmp_path / "up", size, seed=9)
    with transfers() as manager:
        manager.upload(str(tmp_path / "up"), bucket, key).result()
    with transfers() as manager:
        manager.download(bucket, key, str(tmp_path / "down")).result()
    assert bodies.sha256_of_file(tmp_path / "down") == digest
    assert seaweedfs.boto().head_object(Bucket=bucket, Key=key)["ContentLength"] == size

"""Writes objects with the Amazon S3 Encryption Client; runs in a venv of its own (tests/support/setup.sh).

Reads one JSON document from stdin: where S3 and KMS are, and what to write. Bodies come from bodies.py.
"""
import io
import json
import sys

import boto3
import botocore.config
from s3_encryption import S3EncryptionClient, S3EncryptionClientConfig
from s3_encryption.materials.kms_keyring import KmsKeyring
from s3_encryption.materials.materials import AlgorithmSuite, CommitmentPolicy

import bodies

SUITES = {
    "v2": (AlgorithmSuite.ALG_AES_256_GCM_IV12_TAG16_NO_KDF, CommitmentPolicy.FORBID_ENCRYPT_ALLOW_DECRYPT),
    "v3": (AlgorithmSuite.ALG_AES_256_GCM_HKDF_SHA512_COMMIT_KEY, CommitmentPolicy.REQUIRE_ENCRYPT_REQUIRE_DECRYPT),
}


def service(name, job):
    return boto3.client(
        name, endpoint_url=job[name], region_name="us-east-1", aws_access_key_id=job["access_key"],
        aws_secret_access_key=job["secret_key"], config=botocore.config.Config(s3={"addressing_style": "path"}),
    )


def client(job, version):
    suite, policy = SUITES[version]
    keyring = KmsKeyring(kms_client=service("kms", job), kms_key_id=job["key_id"])
    config = S3EncryptionClientConfig(keyring=keyring, encryption_algorithm=suite, commitment_policy=policy)
    return S3EncryptionClient(service("s3", job), config)


def main():
    job = json.load(sys.stdin)
    clients = {version: client(job, version) for version in SUITES}
    for entry in job["objects"]:
        body = bodies.body(entry["size"], entry["seed"])
        to = clients[entry["version"]]
        if entry["parts"]:
            to.upload_fileobj(
                io.BytesIO(body), job["bucket"], entry["key"], multipart_chunksize=5 << 20,
                EncryptionContext=entry["context"], Metadata={"colour": "blue"},
            )
        else:
            to.put_object(
                Bucket=job["bucket"], Key=entry["key"], Body=body, EncryptionContext=entry["context"],
                Metadata={"colour": "blue"}, ContentType="text/x-test",
            )


main()

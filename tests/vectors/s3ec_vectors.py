"""Frozen objects of the Amazon S3 Encryption Client, for src/s3ec.

    AWS_ACCESS_KEY_ID=A AWS_SECRET_ACCESS_KEY=B AWS_DEFAULT_REGION=us-east-1 python s3ec_vectors.py > s3ec.json

What a KMS key wraps is written by the library itself (amazon-s3-encryption-client-python, over moto). What a raw AES
key wraps is made here, from the public text of the format: this library writes none. Needs
amazon-s3-encryption-client-python==4.0.0, moto[server]==5.2.1 and cryptography. Random: never run again over a vector
that is in use.
"""
import base64, hashlib, hmac, json, os

import boto3, moto
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from s3_encryption import S3EncryptionClient, S3EncryptionClientConfig
from s3_encryption.materials.kms_keyring import KmsKeyring
from s3_encryption.materials.materials import AlgorithmSuite, CommitmentPolicy

SUITE = bytes([0, 0x73])


def b64(data): return base64.b64encode(data).decode()


def hkdf(ikm, salt, info, length):
    """RFC 5869 with SHA-512, for at most one block."""
    prk = hmac.new(salt, ikm, hashlib.sha512).digest()
    return hmac.new(prk, info + b"\x01", hashlib.sha512).digest()[:length]


def wrapped(raw_key, data_key, cipher):
    nonce = os.urandom(12)
    return nonce + AESGCM(raw_key).encrypt(nonce, data_key, cipher.encode())


def raw_v2(raw_key, plaintext):
    data_key, iv = os.urandom(32), os.urandom(12)
    metadata = {
        "x-amz-key-v2": b64(wrapped(raw_key, data_key, "AES/GCM/NoPadding")),
        "x-amz-iv": b64(iv),
        "x-amz-wrap-alg": "AES/GCM",
        "x-amz-cek-alg": "AES/GCM/NoPadding",
        "x-amz-tag-len": "128",
        "x-amz-matdesc": '{"team":"archive"}',
    }
    return metadata, AESGCM(data_key).encrypt(iv, plaintext, b""), data_key


def raw_v3(raw_key, plaintext):
    data_key, message_id = os.urandom(32), os.urandom(28)
    key = hkdf(data_key, message_id, SUITE + b"DERIVEKEY", 32)
    metadata = {
        "x-amz-3": b64(wrapped(raw_key, data_key, "115")),
        "x-amz-c": "115",
        "x-amz-w": "02",
        "x-amz-d": b64(hkdf(data_key, message_id, SUITE + b"COMMITKEY", 28)),
        "x-amz-i": b64(message_id),
        "x-amz-m": '{"team":"archive"}',
    }
    return metadata, AESGCM(key).encrypt(b"\x01" * 12, plaintext, SUITE), data_key


def by_the_library(suite, policy, context, plaintext, s3, kms, key_id):
    config = S3EncryptionClientConfig(
        keyring=KmsKeyring(kms_client=kms, kms_key_id=key_id), encryption_algorithm=suite, commitment_policy=policy
    )
    client = S3EncryptionClient(s3, config)
    client.put_object(Bucket="vectors", Key="object", Body=plaintext, EncryptionContext=context)
    stored = boto3.client("s3").get_object(Bucket="vectors", Key="object")
    metadata = stored["Metadata"]
    blob = metadata.get("x-amz-key-v2") or metadata["x-amz-3"]
    full = json.loads(metadata.get("x-amz-matdesc") or metadata["x-amz-t"])
    data_key = kms.decrypt(CiphertextBlob=base64.b64decode(blob), EncryptionContext=full)["Plaintext"]
    return metadata, stored["Body"].read(), data_key


def vector(name, metadata, body, data_key, plaintext, raw_key=None):
    return {
        "name": name, "metadata": metadata, "body": b64(body), "data_key": data_key.hex(),
        "plaintext": b64(plaintext), "raw_key": raw_key and raw_key.hex(),
    }


@moto.mock_aws
def main():
    s3, kms = boto3.client("s3"), boto3.client("kms")
    s3.create_bucket(Bucket="vectors")
    key_id = kms.create_key()["KeyMetadata"]["KeyId"]
    v2 = AlgorithmSuite.ALG_AES_256_GCM_IV12_TAG16_NO_KDF, CommitmentPolicy.FORBID_ENCRYPT_ALLOW_DECRYPT
    v3 = (AlgorithmSuite.ALG_AES_256_GCM_HKDF_SHA512_COMMIT_KEY, CommitmentPolicy.REQUIRE_ENCRYPT_REQUIRE_DECRYPT)
    vectors = []
    for size in (0, 1, 16, 1000):
        plaintext = os.urandom(size)
        for name, suite in (("v2", v2), ("v3", v3)):
            context = {"tenant": "a \"b\""} if size == 16 else {}
            made = by_the_library(*suite, context, plaintext, boto3.client("s3"), boto3.client("kms"), key_id)
            vectors.append(vector(f"{name} kms {size}", *made, plaintext))
        for bits in (128, 192, 256):
            raw_key = os.urandom(bits // 8)
            vectors.append(vector(f"v2 raw {bits} {size}", *raw_v2(raw_key, plaintext), plaintext, raw_key))
            vectors.append(vector(f"v3 raw {bits} {size}", *raw_v3(raw_key, plaintext), plaintext, raw_key))
    print(json.dumps({"vectors": vectors}, indent=1))


main()

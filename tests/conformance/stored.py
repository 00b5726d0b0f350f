"""What lies in the upstream: fetched around the proxy, opened by the reference model and offline.

tests/vectors/format_reference.py shares no code with s3seal. Its command line unwraps the data key
and opens the body, so this file only carries bytes from one place to the other.
"""
import dataclasses
import importlib.util
import subprocess
import sys

import harness

REFERENCE = harness.REPO / "tests/vectors/format_reference.py"
HEADER, ENVELOPE = "s3seal-header", "s3seal-key"

_spec = importlib.util.spec_from_file_location("format_reference", REFERENCE)
reference = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(reference)


@dataclasses.dataclass
class Stored:
    metadata: dict
    body: bytes

    @property
    def header(self):
        return self.metadata[HEADER]

    @property
    def envelope(self):
        return self.metadata[ENVELOPE]


def fetch(upstream, bucket, key):
    answer = upstream.boto().get_object(Bucket=bucket, Key=key)
    # SeaweedFS capitalises metadata names
    metadata = {name.lower(): value for name, value in answer["Metadata"].items()}
    return Stored(metadata, answer["Body"].read())


def put(upstream, bucket, key, stored):
    upstream.boto().put_object(Bucket=bucket, Key=key, Body=stored.body, Metadata=stored.metadata)


def exists(upstream, bucket, key):
    listed = upstream.boto().list_objects_v2(Bucket=bucket, Prefix=key).get("Contents", [])
    return any(entry["Key"] == key for entry in listed)


def open_with_reference(stored, keyring, bucket, key):
    """Plaintext by way of the reference model's two commands and the keyring's material."""
    header = reference.unb64(stored.header)
    envelope = reference.parse_envelope(reference.unb64(stored.envelope))
    material = harness.key_material(keyring, envelope["key_id"], envelope["key_version"])
    context = reference.binding_context(header, envelope["head"], bucket.encode(), key.encode())
    data_key = run_reference(
        "unwrap", "--wrapping-key", material.hex(), "--info", reference.local_info(envelope["key_version"]).hex(),
        # one argument: a base64url value may begin with a dash
        "--wrapped=" + reference.b64(envelope["wrapped"]), "--context", context.hex(),
    )
    return run_reference("open", "--data-key", data_key.decode().strip(), "--header=" + stored.header, stdin=stored.body)


def run_reference(*args, stdin=b""):
    return subprocess.run([sys.executable, str(REFERENCE), *args], input=stdin, capture_output=True, check=True).stdout


def open_offline(stored, keyring, bucket, key, check=True):
    """`s3seal open`: no proxy, no S3."""
    return harness.s3seal(
        "open", "--keyring", keyring, "--bucket", bucket, "--key", key,
        f"--header={stored.header}", f"--envelope={stored.envelope}", "--length", len(stored.body),
        stdin=stored.body, check=check,
    )

"""The AWS SDK for JavaScript, version 3, with its defaults. The steps are in node/round_trip.cjs."""
import os
import pathlib

import bodies
import harness


def test_round_trip(seaweedfs, bucket, key, tmp_path):
    bodies.write_body(tmp_path / "file", (17 << 20) + 3, seed=8)
    trust = {"NODE_EXTRA_CA_CERTS": seaweedfs.ca} if seaweedfs.tls else {}
    modules = {"NODE_PATH": str(pathlib.Path(os.environ["S3SEAL_TEST_NODE"]) / "node_modules")}
    script = pathlib.Path(harness.__file__).parent / "node/round_trip.cjs"
    harness.Tools(seaweedfs, tmp_path).run("node", script, bucket, key, tmp_path / "file", env=modules | trust)

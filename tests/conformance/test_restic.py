"""restic with its default settings: packs, an index and locks, made, checked, thinned and restored."""
import functools

import pytest

import bodies
from harness import Tools


@pytest.fixture
def restic(seaweedfs, fresh_bucket, tmp_path):
    repository = {
        "RESTIC_REPOSITORY": f"s3:{seaweedfs.url}/{fresh_bucket}/backups",
        "RESTIC_PASSWORD": "a-password",
        "RESTIC_CACHE_DIR": str(tmp_path / "cache"),
    }
    ca = ["--cacert", seaweedfs.ca] if seaweedfs.tls else []
    return functools.partial(Tools(seaweedfs, tmp_path).run, "restic", *ca, env=repository)


def test_backups_are_made_checked_pruned_and_restored(restic, tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    for seed, size in enumerate([*bodies.SIZES, 30 << 20]):
        bodies.write_body(folder / str(size), size, seed)
    restic("init")
    restic("backup", folder)
    bodies.write_body(folder / "1048576", 2 << 20, seed=99)
    (folder / "5242880").unlink()
    restic("backup", folder)
    restic("check", "--read-data")
    assert restic("forget", "--keep-last", 1, "--prune").stdout.count("remove 1 snapshots") == 1
    restic("check", "--read-data")
    restic("restore", "--no-cache", "latest", "--target", tmp_path / "restored")
    restored = tmp_path / "restored" / folder.relative_to("/")
    digests = {path.name: bodies.sha256_of_file(path) for path in folder.iterdir()}
    assert {path.name: bodies.sha256_of_file(path) for path in restored.iterdir()} == digests

"""s3fs-fuse with its default settings: a mounted bucket behaves as a folder, also after a new mount."""
import contextlib
import os
import subprocess

import pytest

import bodies
from harness import Tools

MIB = 1 << 20

pytestmark = pytest.mark.skipif(not os.access("/dev/fuse", os.W_OK), reason="/dev/fuse cannot be opened here")


@pytest.fixture
def mounted(seaweedfs, fresh_bucket, tmp_path):
    """Mounts for as long as the context lasts; nothing is kept between two mounts."""
    (tmp_path / "passwd").write_text(f"{seaweedfs.access_key}:{seaweedfs.secret_key}")
    (tmp_path / "passwd").chmod(0o600)
    folder, tools = tmp_path / "mounted", Tools(seaweedfs, tmp_path)
    folder.mkdir()
    trust = {"CURL_CA_BUNDLE": seaweedfs.ca} if seaweedfs.tls else {}
    # s3fs looks at CURL_CA_BUNDLE only after a first failure
    retries = 2 if seaweedfs.tls else 1
    options = f"passwd_file={tmp_path}/passwd,url={seaweedfs.url},use_path_request_style,retries={retries}"

    @contextlib.contextmanager
    def mount():
        tools.run("s3fs", fresh_bucket, folder, "-o", options, env=trust)
        try:
            yield folder
        finally:
            subprocess.run(["umount", str(folder)], check=True)

    return mount


def test_files_are_written_changed_and_read_back(mounted):
    large = bodies.body(30 * MIB + 7, seed=3)
    changed = bytearray(large)
    changed[10 * MIB : 10 * MIB + 50] = b"x" * 50
    with mounted() as folder:
        (folder / "sub").mkdir()
        for seed, size in enumerate(bodies.SIZES):
            (folder / "sub" / str(size)).write_bytes(bodies.body(size, seed))
        (folder / "large").write_bytes(large)
        (folder / "sub/65537").rename(folder / "sub/renamed")
        (folder / "sub/renamed").chmod(0o640)
        with open(folder / "sub/65536", "ab") as file:
            file.write(b"appended")
        with open(folder / "large", "r+b") as file:
            file.seek(10 * MIB)
            file.write(b"x" * 50)
        (folder / "sub/1").unlink()
        (folder / "link").symlink_to("sub/renamed")
    expected = {str(size): bodies.body(size, seed) for seed, size in enumerate(bodies.SIZES)}
    expected["renamed"] = expected.pop("65537")
    expected["65536"] += b"appended"
    del expected["1"]
    with mounted() as folder:
        assert {path.name: path.read_bytes() for path in (folder / "sub").iterdir()} == expected
        assert (folder / "sub/renamed").stat().st_mode & 0o777 == 0o640
        assert (folder / "link").read_bytes() == expected["renamed"]
        assert (folder / "large").read_bytes() == changed
        with open(folder / "large", "rb") as file:
            file.seek(20 * MIB + 1)
            assert file.read(100) == large[20 * MIB + 1 : 20 * MIB + 101]


def test_large_file_is_renamed(mounted):
    """Copied in parts, then deleted."""
    large = bodies.body(26 * MIB + 7, seed=4)
    with mounted() as folder:
        (folder / "large").write_bytes(large)
        (folder / "large").rename(folder / "renamed")
    with mounted() as folder:
        assert [path.name for path in folder.iterdir()] == ["renamed"]
        assert (folder / "renamed").read_bytes() == large

"""What the container image has above its base, made by the script that the Dockerfile calls."""
import hashlib
import os
import pathlib
import re
import shutil
import subprocess
import tarfile

import pytest

from harness import REPO

SCRIPT = REPO / "charts/image/build-rootfs.sh"
DOCKERFILE = (REPO / "Dockerfile").read_text()
EPOCH = "1700000000"


def script(*arguments, check=True, **settings):
    environment = {**os.environ, "SOURCE_DATE_EPOCH": EPOCH}
    command = [SCRIPT, *map(str, arguments)]
    return subprocess.run(command, env=environment, check=check, capture_output=True, text=True, **settings)


@pytest.fixture(scope="module")
def binary():
    if not os.environ.get("S3SEAL_BIN"):
        pytest.skip("S3SEAL_BIN is not set")
    return pathlib.Path(os.environ["S3SEAL_BIN"])


@pytest.fixture(scope="module")
def root(binary, tmp_path_factory):
    root = tmp_path_factory.mktemp("image") / "root"
    script("layout", binary, root)
    return root


def test_the_layer_is_the_same_to_the_byte(binary, root, tmp_path):
    """From another copy of the binary, with another umask."""
    copied = tmp_path / "copied"
    shutil.copy(binary, copied)
    copied.chmod(0o700)
    script("layout", copied, tmp_path / "root", umask=0o077)
    digests = []
    for made in (root, tmp_path / "root"):
        script("archive", made, tmp_path / "layer.tar")
        with open(tmp_path / "layer.tar", "rb") as layer:
            digests.append(hashlib.file_digest(layer, "sha256").hexdigest())
    assert digests[0] == digests[1]


def test_the_layer_belongs_to_root_and_nobody_else_writes_to_it(root, tmp_path):
    script("archive", root, tmp_path / "layer.tar")
    with tarfile.open(tmp_path / "layer.tar") as layer:
        for entry in layer:
            assert (entry.uid, entry.gid, entry.mtime) == (0, 0, int(EPOCH)), entry.name
            assert entry.mode & 0o7022 == 0, f"{entry.name} has mode {entry.mode:o}"
            assert entry.isdir() or entry.isfile()


def test_the_program_runs_in_its_root_as_its_user(root, tmp_path):
    """With the libraries of this machine, which is of the base's release, in the place of the base's."""
    if os.geteuid() != 0:
        pytest.skip("only root can change its root")
    whole = tmp_path / "whole"
    shutil.copytree(root, whole)
    needed = subprocess.run(["ldd", whole / "usr/local/bin/s3seal"], check=True, capture_output=True, text=True).stdout
    for library in re.findall(r"(/\S+)", needed):
        if pathlib.Path(library).exists() and ".so" in library:
            target = whole / library.lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(library, target)
    whole.chmod(0o755)
    entry_point = re.search(r'^ENTRYPOINT \["(\S+)"\]$', DOCKERFILE, re.MULTILINE)[1]
    ran = subprocess.run(["unshare", "--net", "chroot", "--userspec=65532:65532", whole, entry_point, "--version"],
                         env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}, check=True, capture_output=True, text=True)
    version = re.search(r'^version = "(.*)"$', (REPO / "Cargo.toml").read_text(), re.MULTILINE)[1]
    assert ran.stdout == f"s3seal {version}\n"


def test_every_file_has_the_time_it_is_told(root):
    """A builder copies files with their times."""
    found = {path: int(path.lstat().st_mtime) for path in [root, *root.rglob("*")]}
    assert set(found.values()) == {int(EPOCH)}, found


def test_a_program_that_the_base_cannot_run_is_refused(tmp_path):
    """curl needs libcurl."""
    refused = script("layout", shutil.which("curl"), tmp_path / "root", check=False)
    assert refused.returncode == 1 and "libcurl.so.4, which the base has not" in refused.stderr


def test_a_newer_glibc_is_refused(binary, tmp_path):
    newer = tmp_path / "newer"
    shutil.copy(binary, newer)
    with open(newer, "ab") as file:
        file.write(b"\0GLIBC_2.99\0")
    refused = script("layout", newer, tmp_path / "root", check=False)
    assert refused.returncode == 1 and "needs glibc 2.99" in refused.stderr


def test_the_dockerfile_says_what_it_has_to():
    assert re.search(r"^USER 65532:65532$", DOCKERFILE, re.MULTILINE)
    images = re.findall(r"^ARG (?:BUILDER|BASE)=(\S+)$", DOCKERFILE, re.MULTILINE)
    assert len(images) == 2 and not any(image.endswith(":latest") for image in images)
    assert all(re.search(r":[0-9]|debian[0-9]+:", image) for image in images), "pinned by version"
    minimum = re.search(r'^rust-version = "(.*)"$', (REPO / "Cargo.toml").read_text(), re.MULTILINE)[1]
    assert f"rust:{minimum}." in images[0] and f"RUSTUP_TOOLCHAIN={minimum}." in DOCKERFILE
    for path in re.findall(r"charts/image/\S+\.sh", DOCKERFILE):
        assert os.access(REPO / path, os.X_OK)
    assert not re.search(r"^ADD |curl|wget|apt-get", DOCKERFILE, re.MULTILINE)

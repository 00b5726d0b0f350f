"""`s3seal dev`: the commands it prints work as printed, and what it stores is ciphertext."""

import os
import pathlib
import signal
import subprocess
import sys

import pytest

from harness import REPO, binary

pytestmark = pytest.mark.proxied


class Dev:
    """One `s3seal dev`, and what it said."""

    def __init__(self, folder):
        self.process = subprocess.Popen(
            [binary(), "dev", "--dir", str(folder), "--listen", "127.0.0.1:0"],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, env={"PATH": os.environ["PATH"]}, text=True,
        )
        self.said = []
        for line in self.process.stdout:
            self.said.append(line.strip())
            if " s3 rm " in line:
                return
        raise RuntimeError(f"ended early: {self.said}")

    def fact(self, name):
        return next(line.removeprefix(name).strip() for line in self.said if line.startswith(name))

    def commands(self):
        """As printed; the first line exports the configuration that the others need."""
        start = next(at for at, line in enumerate(self.said) if line.startswith("export "))
        return self.said[start:]

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.stdout.close()
        return self.process.wait(timeout=30)


def run(export, command, folder):
    """In a shell, as somebody who pastes it."""
    path = f"{pathlib.Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", f"{export}\n{command}"], cwd=folder, env={"PATH": path, "HOME": str(folder)},
        stdin=subprocess.DEVNULL, capture_output=True, timeout=120,
    )
    assert done.returncode == 0, f"{command}\n{done.stderr.decode()}"
    return done.stdout


def test_the_printed_commands_work(tmp_path):
    readme = (REPO / "README.md").read_bytes()
    (tmp_path / "README.md").write_bytes(readme)
    dev = Dev(tmp_path / "dev")
    try:
        export, copy, listing, fetch, remove = dev.commands()
        run(export, copy, tmp_path)
        assert str(len(readme)) in run(export, listing, tmp_path).decode().split()
        assert run(export, fetch, tmp_path) == readme

        # What a storage provider would see.
        data = pathlib.Path(dev.fact("stored objects").split(" (")[0])
        stored = [file for file in data.rglob("*") if file.is_file()]
        assert any(file.stat().st_size > len(readme) for file in stored)
        assert not any(readme[:40] in file.read_bytes() for file in stored)

        assert dev.stop() == 0
        again = Dev(tmp_path / "dev")
        try:
            assert again.fact("secret access key") == dev.fact("secret access key")
            export, _, listing, fetch, remove = again.commands()
            assert run(export, fetch, tmp_path) == readme, "objects and keys are kept"
            run(export, remove, tmp_path)
            assert b"readme.md" not in run(export, listing, tmp_path)
        finally:
            assert again.stop() == 0
    finally:
        if dev.process.poll() is None:
            dev.process.kill()
            dev.process.wait()

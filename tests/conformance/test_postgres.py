"""Backups of a real PostgreSQL: Barman's cloud commands and pgBackRest archive, back up and restore through the proxy."""
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

import pytest

import bodies
import harness
import manual
from conftest import SLOW

PROGRAMS = next(iter(sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)), None)
# PostgreSQL does not run as root; who runs it may go wherever root keeps the programs of the tests.
OWNER = ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups", "--inh-caps=+dac_override",
         "--ambient-caps=+dac_override", "--"] if os.getuid() == 0 else []
ROWS = 20_000

pytestmark = pytest.mark.skipif(PROGRAMS is None, reason="Debian's package postgresql is not installed")


class Postgres:
    """One database cluster on a socket of its own, and the commands of its owner."""

    def __init__(self, folder, name, environment):
        self.folder, self.data, self.environment = folder, folder / name, environment

    def run(self, *command, check=True):
        done = subprocess.run(
            [*OWNER, *map(str, command)], cwd=self.folder, env=self.environment, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=120,
        )
        assert not check or done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}\n{self.log()}"
        return done.stdout

    def log(self):
        path = self.folder / f"{self.data.name}.log"
        return path.read_text()[-3000:] if path.exists() else ""

    def make(self, *settings):
        self.run(PROGRAMS / "initdb", "--auth", "trust", "--username", "postgres", "--no-sync", "--pgdata", self.data)
        self.configure("listen_addresses = ''", f"unix_socket_directories = '{self.folder}'", *settings)

    def configure(self, *settings):
        """Appended: the last of two settings holds."""
        with open(self.data / "postgresql.conf", "a", encoding="utf-8") as file:
            file.writelines(f"{setting}\n" for setting in settings)

    def start(self):
        # What it starts must not hold our pipes: pg_ctl would seem to run for ever.
        log = self.folder / f"{self.data.name}.log"
        done = subprocess.run(
            [*OWNER, PROGRAMS / "pg_ctl", "start", "-w", "-t", "60", "-D", self.data, "-l", log], cwd=self.folder,
            env=self.environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=90,
        )
        assert done.returncode == 0, self.log()

    def stop(self):
        if (self.data / "postmaster.pid").exists():
            self.run(PROGRAMS / "pg_ctl", "stop", "-w", "-m", "fast", "-D", self.data, check=False)

    def sql(self, statement):
        return self.run(PROGRAMS / "psql", "-h", self.folder, "-U", "postgres", "-At", "-c", statement, "postgres").strip()

    def wait_for_end_of_recovery(self):
        """A standby answers before it has read all of the archive."""
        deadline = time.monotonic() + 60
        while self.sql("SELECT pg_is_in_recovery()") == "t":
            assert time.monotonic() < deadline, self.log()
            time.sleep(0.2)

    def fill(self, first):
        """Rows that test_no_plaintext.py would recognise."""
        marker = bodies.MARKER.decode()
        self.sql("CREATE TABLE IF NOT EXISTS notes (id int, note text)")
        self.sql(f"INSERT INTO notes SELECT n, '{marker} ' || md5(n::text) FROM generate_series({first}, {first + ROWS - 1}) n")

    def digest(self):
        return self.sql("SELECT count(*) || ' ' || md5(string_agg(id || note, '' ORDER BY id)) FROM notes")


@pytest.fixture
def folder():
    """Of the owner's: short, since a socket lies in it, and where he may go."""
    path = pathlib.Path(tempfile.mkdtemp(prefix="s3seal-pg-"))
    if OWNER:
        shutil.chown(path, "postgres", "postgres")
    yield path
    shutil.rmtree(path)


@pytest.fixture
def clusters(seaweedfs, folder):
    """name -> a cluster; all are stopped in the end."""
    environment = seaweedfs.environment(folder) | {"PATH": f"{pathlib.Path(sys.executable).parent}:{os.environ['PATH']}"}
    if seaweedfs.ca:
        environment["AWS_CA_BUNDLE"] = shutil.copy(seaweedfs.ca, folder / "ca.pem")
    made = []

    def get(name):
        made.append(Postgres(folder, name, {key: str(value) for key, value in environment.items()}))
        return made[-1]

    yield get
    for cluster in made:
        cluster.stop()


def program(cluster, name):
    """Its path, for commands that PostgreSQL runs."""
    path = shutil.which(name, path=cluster.environment["PATH"])
    if path is None:
        pytest.skip(f"{name} is not installed")
    return path


# One of the two in CI: what TLS makes of it, the test below sees.
@pytest.mark.parametrize("seaweedfs", ["seaweedfs-http", "seaweedfs-https"] if SLOW else ["seaweedfs-http"], indirect=True)
def test_barman_archives_backs_up_and_restores(clusters, seaweedfs, fresh_bucket):
    database = clusters("database")
    where = f"--endpoint-url {seaweedfs.url} s3://{fresh_bucket}/barman main"
    archive, restore = (program(database, f"barman-cloud-wal-{verb}") for verb in ("archive", "restore"))
    database.make("archive_mode = on", f"archive_command = '{archive} --gzip {where} %p'")
    database.start()
    database.run(program(database, "barman-cloud-check-wal-archive"), *where.split())
    database.fill(first=1)
    # In parts of 5 MiB, as the managed key's object.
    options = ["--host", database.folder, "--user", "postgres", "--min-chunk-size", "5MB", "--encryption", "AES256"]
    database.run(program(database, "barman-cloud-backup"), *options, "--immediate-checkpoint", *where.split())
    database.fill(first=ROWS + 1)
    database.sql("SELECT pg_switch_wal()")
    expected = database.digest()
    database.stop()

    listed = json.loads(database.run(program(database, "barman-cloud-backup-list"), "--format", "json", *where.split()))
    [backup] = listed["backups_list"]
    restored = clusters("restored")
    endpoint, url, store, server = where.split()
    restored.run(program(restored, "barman-cloud-restore"), endpoint, url, store, server, backup["backup_id"], restored.data)
    restored.configure("archive_mode = off", f"restore_command = '{restore} {where} %f %p'")
    restored.run("touch", restored.data / "recovery.signal")
    restored.run("chmod", "700", restored.data)
    restored.start()
    restored.wait_for_end_of_recovery()
    assert restored.digest() == expected
    assert expected.startswith(f"{2 * ROWS} ")
    restored.run(program(restored, "barman-cloud-backup-delete"), "--backup-id", backup["backup_id"], *where.split())
    assert not any("/base/" in name and name.endswith(".tar") for name in names(seaweedfs, fresh_bucket))


def names(endpoint, bucket):
    pages = endpoint.boto().get_paginator("list_objects_v2").paginate(Bucket=bucket)
    return [entry["Key"] for page in pages for entry in page.get("Contents", [])]


@pytest.mark.parametrize("seaweedfs", ["seaweedfs-https"], indirect=True)
def test_pgbackrest_archives_backs_up_and_restores(clusters, seaweedfs, fresh_bucket, folder):
    """It speaks https only."""
    database = clusters("database")
    pgbackrest = program(database, "pgbackrest")
    configuration = folder / "pgbackrest.conf"
    configuration.write_text(pgbackrest_configuration(seaweedfs, fresh_bucket, folder))
    command = [pgbackrest, f"--config={configuration}", "--stanza=main"]
    database.make("archive_mode = on", f"archive_command = '{' '.join(command)} archive-push %p'")
    database.start()
    database.run(*command, "stanza-create")
    database.run(*command, "check")
    database.fill(first=1)
    database.run(*command, "--type=full", "backup")
    database.fill(first=ROWS + 1)
    database.run(*command, "--type=incr", "backup")
    database.sql("SELECT pg_switch_wal()")
    expected = database.digest()
    database.stop()

    restored = clusters("restored")
    restored.run(*command, f"--pg1-path={restored.data}", "restore")
    restored.configure("archive_mode = off")
    restored.start()
    restored.wait_for_end_of_recovery()
    assert restored.digest() == expected
    [stanza] = json.loads(restored.run(*command, "--output=json", "info"))
    assert [backup["type"] for backup in stanza["backup"]] == ["full", "incr"]
    assert harness.CLIENT_SECRET not in restored.run(*command, "info")


def pgbackrest_configuration(endpoint, bucket, folder):
    """The recipe's, with what differs here. It takes no certificate for an address. Its default folders are in /var."""
    [recipe] = (block for block in manual.blocks() if block.section == "pgBackRest")
    replaced = {
        "https://s3seal.example": endpoint.url.replace("127.0.0.1", "localhost"),
        "bucket=bucket": f"bucket={bucket}",
        "=APP": f"={endpoint.access_key}",
        "=app-secret": f"={endpoint.secret_key}",
        "=ca.pem": f"={folder}/ca.pem",
    }
    text = recipe.text
    for old, new in replaced.items():
        assert old in text
        text = text.replace(old, new)
    return text + f"""
repo1-retention-full=2
lock-path={folder}/lock
log-path={folder}
spool-path={folder}/spool
log-level-console=warn
start-fast=y

[main]
pg1-path={folder}/database
pg1-socket-path={folder}
pg1-user=postgres
"""


def test_commands_of_the_recipe_are_barmans():
    [recipe] = (block for block in manual.blocks() if block.not_run and block.section.startswith("CloudNativePG"))
    for command in manual.commands(recipe.text):
        name, *words = command.split()
        path = shutil.which(name, path=f"{pathlib.Path(sys.executable).parent}:{os.environ['PATH']}")
        if path is None:
            pytest.skip(f"{name} is not installed")
        said = subprocess.run([path, "--help"], capture_output=True, text=True, check=True, timeout=60).stdout
        assert [word for word in words if word.startswith("--") and word not in said] == []

"""The manual is held by tests: its commands run, its settings parse, and what it names exists.

Sections run as somebody who pastes them: in order, in a folder of their own, against a real upstream. `manual.py` says how a page
marks what is not run.
"""
import configparser
import json
import os
import pathlib
import re
import shutil
import subprocess
import time
import tomllib

import pytest
import yaml

import harness
import manual
from sandbox import Sandbox

pytestmark = pytest.mark.proxied

SHELL = "sh"
# What is not run, by page and first command. Whoever adds to this list says why in the page.
NOT_RUN = {
    ("README.md", "cargo run --release -- dev"),
    ("CONTRIBUTING.md", "tests/run"),
    ("src/manual/recipes.md", "barman-cloud-wal-archive"),
    ("src/manual/operations.md", "cargo build --release --features fips"),
}
# Flags that the manual names without a command beside them, of other programs.
FOREIGN_FLAGS = {"--admission-control-config-file", "--ca-certs", "--cacert", "--encryption", "--objstore.config-file"}


# --- what the pages name ------------------------------------------------------------------------


def test_the_list_of_what_is_not_run_is_known():
    marked = {(block.page, first_words(block)) for block in manual.blocks() if block.not_run}
    assert marked == {(page, command) for page, command in NOT_RUN}
    assert all(block.language == SHELL for block in manual.blocks() if block.not_run), "only commands are run"


def first_words(block):
    line = manual.commands(block.text)[0].partition("#")[0].strip()
    return line.partition(" --endpoint-url")[0]


@pytest.fixture(scope="module")
def known():
    """Subcommand -> the flags that its --help shows."""
    return dict(helps(()))


def helps(path):
    text = harness.s3seal(*path, "--help").stdout.decode()
    yield " ".join(path), set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", text))
    found = re.search(r"^Commands:\n(.*?)\n\n", text, re.MULTILINE | re.DOTALL)
    for name in re.findall(r"^  (\w[\w-]*)", found[1], re.MULTILINE) if found else []:
        if name != "help":
            yield from helps((*path, name))


def mentions(known):
    """Every command line of s3seal: in blocks, in tables, in prose. There it may begin with the subcommand."""
    for page in manual.PAGES:
        for code in manual.codes(page):
            first = code.partition(" ")[0]
            if first == "s3seal" and first != code:
                yield manual.name_of(page), code
            elif first != code and first in known:
                yield manual.name_of(page), f"s3seal {code}"
            elif first != code and f"key {first}" in known:
                yield manual.name_of(page), f"s3seal key {code}"
    for block in manual.blocks():
        for line in manual.commands(block.text) if block.language == SHELL else []:
            for command in re.findall(r"(?:^|[;&|(] *)(s3seal [^|;&<>#)]*)", line):
                yield str(block), command


def expanded(command):
    """`key list|rotate` are two commands, and `[--json]` is a flag."""
    words = re.sub(r"[\[\]]", " ", command).split()[1:]
    spread = next((at for at, word in enumerate(words[:2]) if "|" in word), None)
    for choice in words[spread].split("|") if spread is not None else [None]:
        yield [choice if at == spread else word for at, word in enumerate(words)]


def test_commands_and_flags_of_s3seal_exist(known):
    seen = set()
    for where, command in mentions(known):
        for words in expanded(command):
            path = " ".join(words[:2]) if " ".join(words[:2]) in known else words[0]
            assert path in known, f"{where}: `{command}`: there is no `s3seal {words[0]}`"
            flags = {word.partition("=")[0] for word in words if word.startswith("--")}
            assert flags <= known[path], f"{where}: `{command}`: {flags - known[path]} is not known to `s3seal {path}`"
            if path == "key":
                assert len(words) < 2 or words[1].startswith(("-", "…", "...")), f"{where}: there is no `{command}`"
            seen.add(path)
    assert len(seen) > 15, seen


def test_flags_that_stand_alone_exist(known):
    every = set().union(*known.values()) | FOREIGN_FLAGS
    for page in manual.PAGES:
        if page.name == "past_failures.md":
            continue  # about other programs
        for code in manual.codes(page):
            if code.startswith("--"):
                flag = re.match(r"--[\w.-]+", code)[0]
                assert flag in every, f"{manual.name_of(page)}: `{code}`"


def test_commands_of_aws_exist(tmp_path):
    """Those that are only named: blocks run."""
    program = harness.find_program("aws")
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    named = {tuple(code.split()[:3]) for page in manual.PAGES for code in manual.codes(page) if code.startswith("aws s3")}
    assert {words[1] for words in named} == {"s3", "s3api"}
    for _, service, command in sorted(named):
        # `s3` commands have no skeleton: without arguments they do nothing.
        skeleton = ["--generate-cli-skeleton"] if service == "s3api" else []
        done = subprocess.run([program, service, command, *skeleton], env=environment, capture_output=True, text=True, timeout=60)
        assert "nvalid choice" not in done.stderr and (service == "s3" or done.returncode == 0), f"aws {service} {command}: {done.stderr}"


def keys_of_example():
    """Dotted names in config/example.toml, those included that are commented out."""
    table, found = "", set()
    for line in (harness.REPO / "config/example.toml").read_text().splitlines():
        if heading := re.match(r"#?\[+([\w.]+)\]+", line):
            table = heading[1]
            found.add(table)
        elif key := re.match(r"#?(\w+) = (.*)", line):
            found.add(f"{table}.{key[1]}")
            found.update(f"{table}.{key[1]}.{inner}" for inner in re.findall(r"[{,] (\w+) =", key[2]))
    return found


def test_configuration_keys_exist():
    known, tables = keys_of_example(), ("listen", "admin", "upstream", "clients", "keys", "uploads", "rules", "crypto", "log")
    checked = 0
    for page in manual.PAGES:
        if page.parent.name == "s3seal":
            continue  # the chart's values: tests/chart compares them
        for code in manual.codes(page):
            named = re.match(rf"((?:{'|'.join(tables)})\.[\w.]+)(?: =.*)?$", code)
            if named and not named[1].endswith((".rs", ".md", ".yaml", ".json", ".log")):
                assert named[1] in known, f"{manual.name_of(page)}: `{code}`"
                checked += 1
    assert checked > 40


def test_metrics_and_alerts_exist():
    metrics = set(re.findall(r"^\| `(\w+)`", (harness.REPO / "src/manual/metrics.md").read_text(), re.MULTILINE))
    rules = (harness.REPO / "charts/s3seal/files/rules/alerts.yaml").read_text()
    alerts = set(re.findall(r"alert: (\w+)", rules))
    assert metrics and alerts
    for page in manual.PAGES:
        text = page.read_text()
        named = {name for name in re.findall(r"\bs3seal_[a-z0-9_]+\b", text) if not name.endswith("_")}
        assert named - metrics - {"s3seal_encryption_client"} == set(), manual.name_of(page)
        assert set(re.findall(r"\bS3Seal[A-Z]\w+", text)) - alerts == set(), manual.name_of(page)


def test_links_lead_somewhere():
    for page in manual.PAGES:
        text = manual.prose(page)
        defined = dict(re.findall(r"^\[([^\]]+)\]: (\S+)$", text, re.MULTILINE))
        targets = re.findall(r"\]\(([^)\s]+)\)", text) + list(defined.values())
        for target in targets:
            path, _, anchor = target.partition("#")
            if target.startswith("http"):
                continue
            file = (page.parent / path) if path else page
            assert file.exists(), f"{manual.name_of(page)}: {target}"
            if anchor:
                assert anchor in anchors(file), f"{manual.name_of(page)}: {target}"


def anchors(page):
    titles = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


def test_tests_that_are_named_exist():
    for page in manual.PAGES:
        for name in re.findall(r"\btest_\w+\.py", page.read_text()):
            assert list((harness.REPO / "tests").rglob(name)), f"{manual.name_of(page)}: {name}"


# --- settings -----------------------------------------------------------------------------------


def test_every_block_says_what_it_is():
    """What is not on one of the lists is neither run nor parsed, but for settings of programs that are not run."""
    looked_at = {SHELL, "yaml", "json", "python", "toml", "ini"}
    assert {block.language for block in manual.blocks()} - looked_at == {"hcl", "js", "properties", "sql", "text"}


@pytest.mark.parametrize("block", [b for b in manual.blocks() if b.language == "ini"], ids=str)
def test_ini_parses(block):
    parsed = configparser.ConfigParser(interpolation=None)
    parsed.read_string(block.text)
    assert parsed.sections()


@pytest.mark.parametrize("block", [b for b in manual.blocks() if b.language in ("yaml", "json")], ids=str)
def test_yaml_and_json_parse(block):
    text = re.sub(r"^( *)\{\{-.*\}\}$", r"\1_: template", block.text, flags=re.MULTILINE)
    assert list(yaml.safe_load_all(text))


@pytest.mark.parametrize("block", [b for b in manual.blocks() if b.language == "python"], ids=str)
def test_python_compiles(block):
    compile(block.text, str(block), "exec")


@pytest.mark.parametrize("block", [b for b in manual.blocks() if b.language == "toml"], ids=str)
def test_toml_has_keys_that_exist(block):
    """A whole configuration is checked by the program where its section runs."""
    # A heading that a snippet only hints at is meant, too.
    text = re.sub(r"^# (\[+[\w.]+\]+)$", r"\1", block.text, flags=re.MULTILINE)
    known = keys_of_example()
    for table, content in tomllib.loads(text).items():
        for entry in content if isinstance(content, list) else [content]:
            for key in entry:
                assert f"{table}.{key}" in known, f"{block}: {table}.{key}"


# --- commands -----------------------------------------------------------------------------------

HELM, KUBECTL = (os.environ.get(f"S3SEAL_TEST_{name.upper()}", name) for name in ("helm", "kubectl"))
SECTIONS = sorted({(b.page, b.section) for b in manual.blocks() if b.language == SHELL and not b.not_run})


@pytest.fixture(scope="module")
def buckets(upstreams):
    """By the names that the manual uses."""
    s3 = upstreams["seaweedfs"].boto()
    there = {entry["Name"] for entry in s3.list_buckets()["Buckets"]}
    for name in {"bucket", "photos", "ops-bucket"} - there:
        s3.create_bucket(Bucket=name)
    return s3


def empty(s3, bucket):
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket):
        for entry in page.get("Contents", []):
            s3.delete_object(Bucket=bucket, Key=entry["Key"])


@pytest.fixture
def sandbox(tmp_path, upstreams, buckets):
    for bucket in ("bucket", "photos"):
        empty(buckets, bucket)
    for name in ("charts", "config"):
        os.symlink(harness.REPO / name, tmp_path / name)
    sandbox = Sandbox(tmp_path, upstreams["seaweedfs"], HELM, KUBECTL)
    sandbox.proxy.start()
    yield sandbox
    subprocess.run(["fusermount", "-u", str(tmp_path / "mnt")], check=False, capture_output=True)
    sandbox.proxy.stop()


@pytest.mark.parametrize("page,section", SECTIONS, ids=lambda value: value)
def test_commands_run(page, section, sandbox, buckets):
    if page.startswith("charts/") and not (shutil.which(HELM) and shutil.which(KUBECTL)):
        pytest.skip("helm or kubectl is not installed")
    if section == "s3fs" and not os.access("/dev/fuse", os.W_OK):
        pytest.skip("/dev/fuse cannot be opened here")
    here = [block for block in manual.blocks() if (block.page, block.section) == (page, section)]
    PREPARED.get(section, lambda *_: None)(sandbox, buckets)
    for block in here:
        if block.file:
            file = sandbox.folder / block.file
            file.write_text(sandbox.text(block, whole=block.language == "toml"))
            file.chmod(0o600)
    for block in here:
        if block.language == SHELL and not block.not_run:
            sandbox.run(block)
    PROVEN.get(section, lambda *_: None)(sandbox, buckets)


def prepare_gateway(sandbox, _):
    """Certificate and values, which everybody has their own of."""
    done = subprocess.run(["bash", harness.REPO / "tests/support/certificates.sh", sandbox.folder / "tls"], capture_output=True)
    assert done.returncode == 0
    shutil.copy(sandbox.folder / "tls/server-chain.pem", sandbox.folder / "tls.crt")
    shutil.copy(sandbox.folder / "tls/server.key", sandbox.folder / "tls.key")
    shutil.copy(harness.REPO / "charts/s3seal/ci/whole-config-values.yaml", sandbox.folder / "values.yaml")


def prepare_plaintext(sandbox, s3):
    for name in ("prefix/a", "prefix/b"):
        s3.put_object(Bucket="bucket", Key=name, Body=b"stored before the proxy")


def prove_that_all_is_sealed(sandbox, _):
    said = sandbox.s3seal("usage", "--config", "s3seal.toml", "s3://bucket/", "--json")
    counted = json.loads(said)
    assert (counted["not_encrypted"]["objects"], counted["keys"][0]["objects"]) == (0, 2), said


def prepare_sealed(sandbox, _):
    client = sandbox.proxy.endpoint.boto()
    client.put_object(Bucket="bucket", Key="prefix/a", Body=b"under the default key")


def prove_that_all_moved(sandbox, _):
    said = sandbox.s3seal("inspect", "--config", "s3seal.toml", "s3://bucket/prefix/a", "--json")
    assert json.loads(said)["key_id"] == "new", said


def prepare_disaster(sandbox, s3):
    client = sandbox.proxy.endpoint.boto()
    client.put_object(Bucket="photos", Key="2026/summer.jpg", Body=b"a picture" * 20_000)
    client.put_object(Bucket="photos", Key="winter.jpg", Body=b"another picture")
    (sandbox.folder / "keyring.passphrase").write_text("a passphrase of the tests\n")
    sandbox.s3seal("key", "seal", "--keyring", "keyring.json", "--passphrase-file", "keyring.passphrase")
    # The proxy is gone; what is stored is asked for with credentials of the upstream.
    sandbox.proxy.stop()
    sandbox.endpoint = sandbox.upstream


def prove_recovery(sandbox, _):
    plain = sandbox.folder / "plain"
    assert not (sandbox.folder / "failed").exists()
    assert (plain / "2026/summer.jpg").read_bytes() == b"a picture" * 20_000
    assert (plain / "winter.jpg").read_bytes() == b"another picture"


def wait_for_mount(path):
    """s3fs goes to the background before it is there."""
    deadline = time.monotonic() + 10
    while not path.is_mount():
        assert time.monotonic() < deadline, f"{path} is not mounted"
        time.sleep(0.1)


PREPARED = {
    "Gateway": prepare_gateway,
    "Moving from SSE-S3 or SSE-KMS buckets": prepare_plaintext,
    "Moving between key providers": prepare_sealed,
    "curl": lambda sandbox, _: sandbox.proxy.endpoint.boto().put_object(Bucket="bucket", Key="key", Body=b"body"),
    "Recovering a bucket after a disaster": prepare_disaster,
}
PROVEN = {
    "s3fs": lambda sandbox, _: wait_for_mount(sandbox.folder / "mnt"),
    "Moving from SSE-S3 or SSE-KMS buckets": prove_that_all_is_sealed,
    "Moving between key providers": prove_that_all_moved,
    "Recovering a bucket after a disaster": prove_recovery,
}

"""What the tests talk to: endpoints, a running `s3seal serve`, and the client programs.

Everything is a real program on loopback. The servers come from tests/run (see tests/support); the
proxies are started here, each with a configuration file as an operator would write it.
"""
import base64
import dataclasses
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request

import boto3
import botocore.config

# Reading the model of S3 takes longer than most requests.
SESSION = boto3.session.Session()
SESSION_LOCK = threading.Lock()
REGION = "us-east-1"
CLIENT_KEY, CLIENT_SECRET = "APP", "app-secret-0123456789"
REPO = pathlib.Path(__file__).resolve().parents[2]
START_SECONDS = 20


@dataclasses.dataclass(frozen=True)
class Endpoint:
    """Where a client connects and as whom."""

    name: str
    url: str
    access_key: str
    secret_key: str
    ca: str | None = None  # PEM file of the certificate authority, for https
    proxied: bool = True  # False: this is the upstream itself

    @property
    def upstream(self):
        return self.name.partition("-")[0]

    @property
    def tls(self):
        return self.url.startswith("https:")

    @property
    def host(self):
        return self.url.partition("//")[2]

    def boto(self, **config):
        """A boto3 client with its defaults, but no retries: a retry would hide a failure."""
        config = {"retries": {"total_max_attempts": 1}, "max_pool_connections": 40, "read_timeout": 120} | config
        # Making clients is not thread-safe, using them is.
        with SESSION_LOCK:
            return SESSION.client(
                "s3",
                endpoint_url=self.url,
                region_name=REGION,
                aws_access_key_id=self.access_key,
                aws_secret_access_key=self.secret_key,
                verify=self.ca,
                config=botocore.config.Config(signature_version="s3v4", s3={"addressing_style": "path"}, **config),
            )

    def environment(self, home):
        """The environment that client programs read credentials from, and nothing of this machine's."""
        config = pathlib.Path(home) / f"aws-config-{self.name}"
        config.write_text(f"[default]\nregion = {REGION}\ns3 =\n    signature_version = s3v4\n")
        env = {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_REGION": REGION,
            "AWS_CONFIG_FILE": str(config),
            "AWS_ENDPOINT_URL": self.url,
            "AWS_MAX_ATTEMPTS": "1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        if not self.proxied:
            # aws cli 1.46: an empty file with Expect that is answered without "100 Continue" leaves
            # its status behind in the connection, and the next upload on it waits for ever. Go
            # servers answer so; through s3seal this must work.
            env["BOTO_EXPERIMENTAL__NO_EMPTY_CONTINUE"] = "true"
        return env | ({"AWS_CA_BUNDLE": self.ca} if self.ca else {})


class Tools:
    """The client programs, run against one endpoint."""

    def __init__(self, endpoint, home):
        self.endpoint, self.home = endpoint, pathlib.Path(home)
        self.env = endpoint.environment(home)

    def aws(self, *args, **kwargs):
        return self.run("aws", *args, **kwargs)

    def s5cmd(self, *args, **kwargs):
        return self.run("s5cmd", "--endpoint-url", self.endpoint.url, "--retry-count", "0", *args, **kwargs)

    def rclone(self, *args, **kwargs):
        remote = {
            "RCLONE_CONFIG": "/dev/null",
            "RCLONE_CONFIG_R_TYPE": "s3",
            "RCLONE_CONFIG_R_PROVIDER": "Other",
            "RCLONE_CONFIG_R_ENV_AUTH": "true",
            "RCLONE_CONFIG_R_REGION": REGION,
            "RCLONE_CONFIG_R_ENDPOINT": self.endpoint.url,
        }
        ca = ["--ca-cert", self.endpoint.ca] if self.endpoint.ca else []
        return self.run("rclone", "--retries", "1", "--low-level-retries", "1", *ca, *args, env=remote, **kwargs)

    def run(self, program, *args, env=None, check=True, seconds=600):
        """Runs to the end. With `check` a failure is an assertion that shows what the program said."""
        command = [find_program(program), *map(str, args)]
        done = subprocess.run(
            command, env=self.env | (env or {}), cwd=self.home, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=seconds,
        )
        assert not check or done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
        return done


def object_store_options(endpoint, monkeypatch):
    """For programs on Rust's object_store. An authority is given to them by the environment."""
    if endpoint.tls:
        monkeypatch.setenv("SSL_CERT_FILE", endpoint.ca)
    return {
        "aws_endpoint_url": endpoint.url,
        "aws_region": REGION,
        "aws_access_key_id": endpoint.access_key,
        "aws_secret_access_key": endpoint.secret_key,
        "aws_allow_http": str(not endpoint.tls).lower(),
    }


class S3Seal:
    """One `s3seal serve` in front of an upstream."""

    def __init__(self, home, upstream, name, *, tls=None, checksum="crc64nvme", rules=None, keys=None):
        self.home, self.name, self.tls = pathlib.Path(home), name, tls
        self.address, self.admin = free_address(), free_address()
        self.config = self.home / f"{name}.toml"
        self.log = self.home / f"{name}.log"
        keys = keys or DEFAULT_KEYS.format(home=self.home)
        self.config.write_text(self._render(upstream, checksum, rules or DEFAULT_RULES, keys))
        self.config.chmod(0o600)
        self.process = None

    @property
    def endpoint(self):
        scheme, ca = ("https", str(self.tls / "ca.pem")) if self.tls else ("http", None)
        return Endpoint(self.name, f"{scheme}://{self.address}", CLIENT_KEY, CLIENT_SECRET, ca)

    def _render(self, upstream, checksum, rules, keys):
        tls = (
            f'tls = {{ certificate = "{self.tls}/server-chain.pem", private_key = "{self.tls}/server.key" }}'
            if self.tls else ""
        )
        return f"""
[listen]
address = "{self.address}"
{tls}

[admin]
address = "{self.admin}"

[upstream]
endpoint = "{upstream.url}"
region = "{REGION}"
addressing = "path"
checksum = "{checksum}"
credentials = {{ access_key_id = "{upstream.access_key}", secret_access_key = "{upstream.secret_key}" }}

[[clients]]
access_key_id = "{CLIENT_KEY}"
secret_access_key = "{CLIENT_SECRET}"

{keys}

{rules}
"""

    def start(self):
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [binary(), "serve", "--config", str(self.config)],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, env={"PATH": os.environ["PATH"]},
            )
        deadline = time.monotonic() + START_SECONDS
        while not self._ready():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise RuntimeError(f"{self.name} did not start:\n{self.log.read_text()[-4000:]}")
            time.sleep(0.05)
        return self

    def _ready(self):
        try:
            return urllib.request.urlopen(f"http://{self.admin}/readyz", timeout=5).status == 200
        except (urllib.error.URLError, OSError):
            return False

    def metric(self, name):
        """The sum of a metric over its labels, by their text."""
        text = urllib.request.urlopen(f"http://{self.admin}/metrics", timeout=5).read().decode()
        lines = [line.rpartition(" ") for line in text.splitlines() if line.startswith((name + " ", name + "{"))]
        return {labels: float(value) for labels, _, value in lines}

    def kill(self):
        """As a crash would."""
        self.process.kill()
        self.process.wait()

    def stop(self):
        """SIGTERM drains; returns the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise


DEFAULT_KEYS = """
[keys]
default = "default"
managed = "managed"

[[keys.providers]]
kind = "local"
name = "local"
keyring = "{home}/keyring.json"
"""

DEFAULT_RULES = """
[[rules]]
buckets = ["*"]
encryption = "named-key"
plaintext_reads = "deny"
"""


def transit_key(mount):
    """A Transit engine of OpenBao with the key `of-bao`."""
    for path, body in (
        (f"sys/mounts/{mount}", {"type": "transit"}),
        (f"{mount}/keys/of-bao", {"type": "aes256-gcm96", "derived": True}),
    ):
        request = urllib.request.Request(
            f"{os.environ['S3SEAL_TEST_BAO']}/v1/{path}", data=json.dumps(body).encode(), method="POST",
            headers={"X-Vault-Token": os.environ["S3SEAL_TEST_BAO_TOKEN"]},
        )
        urllib.request.urlopen(request, timeout=10).read()


def transit_provider(mount):
    """That engine as a key provider."""
    return f"""
[[keys.providers]]
kind = "transit"
name = "bao"
address = "{os.environ["S3SEAL_TEST_BAO"]}"
mount = "{mount}"
auth = {{ method = "token", token = "{os.environ["S3SEAL_TEST_BAO_TOKEN"]}" }}
keys = ["of-bao"]
"""


def find_program(name):
    """Python's packages bring some, Debian's the others."""
    packaged = pathlib.Path(sys.executable).parent / name
    return str(packaged) if packaged.exists() else name


def binary():
    return os.environ.get("S3SEAL_BIN", str(REPO / "target/debug/s3seal"))


def s3seal(*args, stdin=b"", check=True, cwd=None, seconds=120):
    """Runs a command of the program to its end, without the variables of the tests, which it would take for
    settings of its own."""
    done = subprocess.run(
        [binary(), *map(str, args)], input=stdin, capture_output=True, timeout=seconds, cwd=cwd,
        env={"PATH": os.environ["PATH"]},
    )
    assert not check or done.returncode == 0, f"s3seal {args}: {done.stderr.decode(errors='replace')}"
    return done


def key_material(keyring, key_id, version):
    """What is in the keyring file, for the reference model: 32 bytes."""
    keys = json.loads(pathlib.Path(keyring).read_text())["keys"]
    versions = next(k["versions"] for k in keys if k["id"] == key_id)
    return base64.b64decode(next(v["material"] for v in versions if v["version"] == version))


def free_address():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return "%s:%d" % s.getsockname()

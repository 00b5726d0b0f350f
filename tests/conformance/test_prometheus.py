"""Dashboards and rules against a real Prometheus that watches a real proxy under load.

The proxy has TLS, keys in OpenBao, and clients that do wrong: signatures that do not fit, objects that were tampered with, objects that
were never encrypted. Every query of every panel and of every rule is asked through Prometheus' API.
"""
import calendar
import concurrent.futures
import dataclasses
import json
import math
import os
import re
import shutil
import signal
import ssl
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request

import boto3
import botocore.config
import pytest
from botocore.exceptions import BotoCoreError, ClientError

import bodies
import harness
import stored
from conftest import new_bucket

pytestmark = [
    pytest.mark.proxied,
    pytest.mark.skipif(shutil.which("prometheus") is None, reason="Debian's package prometheus is not installed"),
]

CHART = harness.REPO / "charts/s3seal/files"
DASHBOARDS = sorted((CHART / "dashboards").glob("*.json"))
RULES = sorted((CHART / "rules").glob("*.yaml"))
LOAD_SECONDS = 20
VARIABLES = {"$namespace": "shop", "$job": "s3seal", "$pod": "s3seal-0", "$__rate_interval": "10s"}
# Panels that show nothing while all is well, by title: none. What counts begins at 0.
EMPTY_IN_HEALTH = {}


@dataclasses.dataclass
class Watched:
    """A proxy that had its share of trouble, and the Prometheus that saw it."""

    proxy: harness.S3Seal
    prometheus: str
    began: float

    def ask(self, path, **parameters):
        url = f"{self.prometheus}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        try:
            return json.loads(urllib.request.urlopen(url, timeout=20).read())["data"]
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{path} {parameters}: {error.read().decode()}") from error

    def range(self, expr):
        return self.ask("query_range", query=expr, start=self.began, end=time.time(), step=2)["result"]

    def instant(self, expr):
        return self.ask("query", query=expr)["result"]

    def value(self, expr):
        found = self.instant(expr)
        return float(found[0]["value"][1]) if found else 0.0


@pytest.fixture(scope="module")
def watched(home, upstreams, tls):
    folder = home / "watched"
    folder.mkdir()
    upstream = upstreams["seaweedfs"]
    sealed, migrating = new_bucket(upstream), new_bucket(upstream)
    proxy = harness.S3Seal(
        folder, upstream, "seaweedfs-watched", tls=tls, rules=rules(sealed, migrating), keys=keys(folder)
    ).start()
    began = time.time()
    try:
        with Prometheus(folder, proxy) as address:
            trouble(proxy.endpoint, upstream, sealed, migrating)
            yield Watched(proxy, address, began)
    finally:
        proxy.stop()


def rules(sealed, migrating):
    return f"""
[[rules]]
buckets = ["{sealed}"]
encryption = "named-key"
plaintext_reads = "deny"
[[rules]]
buckets = ["{migrating}"]
encryption = "named-key"
plaintext_reads = "allow"
"""


def keys(folder):
    """The default key is in OpenBao, the managed one in a keyring."""
    harness.s3seal("key", "create", "--keyring", folder / "managed.json", "managed")
    mount = f"watched-{os.getpid()}"
    harness.transit_key(mount)
    return f"""
[keys]
default = "of-bao"
managed = "managed"
[[keys.providers]]
kind = "local"
name = "local"
keyring = "{folder}/managed.json"
""" + harness.transit_provider(mount)


class Prometheus:
    """A Prometheus that scrapes the proxy and evaluates its rules every second."""

    def __init__(self, folder, proxy):
        self.folder, self.address = folder, harness.free_address()
        # As they are, but looked at more often: the test does not last half a minute.
        for path in RULES:
            (folder / path.name).write_text(path.read_text().replace("interval: 30s", "interval: 1s"))
        config = {
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
            "rule_files": [str(folder / path.name) for path in RULES],
            "scrape_configs": [
                {
                    "job_name": VARIABLES["$job"],
                    "static_configs": [
                        {
                            "targets": [proxy.admin],
                            "labels": {"namespace": VARIABLES["$namespace"], "pod": VARIABLES["$pod"]},
                        }
                    ],
                }
            ],
        }
        (folder / "prometheus.json").write_text(json.dumps(config))  # JSON is YAML

    def __enter__(self):
        with open(self.folder / "prometheus.log", "ab") as log:
            self.process = subprocess.Popen(
                [
                    "prometheus", f"--config.file={self.folder}/prometheus.json",
                    f"--storage.tsdb.path={self.folder}/prometheus", f"--web.listen-address={self.address}",
                    "--log.level=warn",
                ],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )
        deadline = time.monotonic() + harness.START_SECONDS
        while not self._ready():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.__exit__()
                raise RuntimeError((self.folder / "prometheus.log").read_text()[-4000:])
            time.sleep(0.1)
        return f"http://{self.address}"

    def _ready(self):
        try:
            return urllib.request.urlopen(f"http://{self.address}/-/ready", timeout=5).status == 200
        except (urllib.error.URLError, OSError):
            return False

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        self.process.wait(timeout=30)


# --- load ---------------------------------------------------------------------------------------


def trouble(endpoint, upstream, sealed, migrating):
    """A share of everything, for long enough to have rates."""
    s3, direct = endpoint.boto(), upstream.boto()
    strangers = [
        dataclasses.replace(endpoint, secret_key="another").boto(),
        dataclasses.replace(endpoint, access_key="NOBODY").boto(),
    ]
    s3.put_object(Bucket=sealed, Key="moved", Body=bodies.body(5_000, seed=1))
    s3.put_object(Bucket=sealed, Key="cut", Body=bodies.body(200_000, seed=2))
    lies = stored.fetch(upstream, sealed, "moved")
    stored.put(upstream, sealed, "elsewhere", lies)
    cut = stored.fetch(upstream, sealed, "cut")
    stored.put(upstream, sealed, "cut", stored.Stored(cut.metadata, cut.body[:-200]))
    for bucket in (sealed, migrating):
        direct.put_object(Bucket=bucket, Key="plain", Body=b"never encrypted")

    def client(number):
        ends = time.monotonic() + LOAD_SECONDS
        while time.monotonic() < ends:
            key = f"{number}/{time.monotonic_ns()}"
            s3.put_object(Bucket=sealed, Key=key, Body=bodies.body(100_000, seed=number))
            s3.get_object(Bucket=sealed, Key=key)["Body"].read()
            s3.head_object(Bucket=sealed, Key=key)
            s3.list_objects_v2(Bucket=sealed, MaxKeys=5)
            s3.delete_object(Bucket=sealed, Key=key)
            s3.get_object(Bucket=migrating, Key="plain")["Body"].read()
            for wrong in (
                lambda: s3.get_object(Bucket=sealed, Key="elsewhere")["Body"].read(),
                lambda: s3.get_object(Bucket=sealed, Key="cut")["Body"].read(),
                lambda: s3.get_object(Bucket=sealed, Key="plain")["Body"].read(),
                lambda: s3.get_object(Bucket=sealed, Key="missing"),
                *(lambda client=client: client.list_objects_v2(Bucket=sealed) for client in strangers),
            ):
                with pytest.raises((ClientError, BotoCoreError)):
                    wrong()
            time.sleep(0.2)

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        clients = [pool.submit(client, number) for number in range(4)]
        time.sleep(LOAD_SECONDS / 2)  # Prometheus has been there before
        with pytest.raises(urllib.error.HTTPError):
            urllib.request.urlopen(lost(endpoint), context=ssl.create_default_context(cafile=endpoint.ca))
        for done in clients:
            done.result()


def lost(endpoint):
    """A URL presigned for another region."""
    s3 = boto3.client(
        "s3", endpoint_url=endpoint.url, region_name="eu-west-1",
        aws_access_key_id=endpoint.access_key, aws_secret_access_key=endpoint.secret_key,
        config=botocore.config.Config(signature_version="s3v4"),
    )
    return s3.generate_presigned_url("list_buckets")


# --- what Prometheus says -----------------------------------------------------------------------


def panel_queries():
    for path in DASHBOARDS:
        for panel in json.loads(path.read_text())["panels"]:
            for target in panel.get("targets", []):
                yield path.stem, panel["title"], target["expr"]


def substituted(expr):
    for name, value in VARIABLES.items():
        expr = expr.replace(name, value)
    assert "$" not in expr, expr
    return expr


def test_every_panel_shows_something(watched):
    silent = []
    for dashboard, title, expr in panel_queries():
        found = watched.range(substituted(expr))
        values = [float(value) for series in found for _, value in series["values"]]
        if all(map(math.isnan, values)) and title not in EMPTY_IN_HEALTH:
            silent.append(f"{dashboard}, {title}: {expr}")
    assert not silent, "\n".join(silent)


def test_annotations_and_variables_find_something(watched):
    for path in DASHBOARDS:
        dashboard = json.loads(path.read_text())
        for annotation in dashboard["annotations"]["list"]:
            assert watched.range(substituted(annotation["expr"])), path
        for variable in dashboard["templating"]["list"]:
            if variable["type"] == "query":
                series, label = re.fullmatch(r"label_values\((.*), (\w+)\)", variable["query"]["query"]).groups()
                found = watched.ask("series", **{"match[]": substituted(series)})
                assert {one[label] for one in found} == {VARIABLES[f"${label}"]}, variable


def test_every_rule_is_evaluated_without_an_error(watched):
    rules = [rule for group in watched.ask("rules")["groups"] for rule in group["rules"]]
    assert len(rules) == sum(len(re.findall(r"^ +- (?:alert|record):", path.read_text(), re.M)) for path in RULES)
    unwell = [rule for rule in rules if rule["health"] != "ok" or rule.get("lastError")]
    assert not unwell, unwell
    for rule in rules:
        found = watched.instant(rule["query"])
        assert found or rule["type"] == "alerting", f"{rule['name']} records nothing"


def test_trouble_raises_the_alerts_that_it_should(watched):
    alerts = {(one["labels"]["alertname"], one["state"]) for one in watched.ask("alerts")["alerts"]}
    expected = {
        ("S3SealIntegrityFailure", "firing"),
        ("S3SealUnencryptedObject", "firing"),
        ("S3SealPlaintextReads", "pending"),
        ("S3SealErrorBudgetBurnsFast", "pending"),
        ("S3SealErrorBudgetBurnsSlowly", "pending"),
    }
    # How much a machine does in this time, and how fast, decides about these.
    possible = {"S3SealAuthFailures", "S3SealLatencyBudgetBurnsFast", "S3SealLatencyBudgetBurnsSlowly"}
    assert expected <= alerts
    assert {name for name, _ in alerts - expected} <= possible


def test_a_first_event_is_an_increase(watched):
    """There was one such request. Without a series at 0 before it, its counter would begin at 1 and never rise."""
    assert watched.value('sum(s3seal_auth_failures_total{reason="region"})') == 1
    assert watched.value('sum(increase(s3seal_auth_failures_total{reason="region"}[1h]))') > 0.9


def test_what_happened_is_counted(watched):
    assert watched.value('sum(increase(s3seal_integrity_failures_total{kind="unwrap"}[1h]))') >= 1
    assert watched.value('sum(increase(s3seal_integrity_failures_total{kind="plaintext"}[1h]))') >= 1
    for reason in ("signature", "unknown_access_key"):
        assert watched.value(f'sum(increase(s3seal_auth_failures_total{{reason="{reason}"}}[1h]))') >= 1
    assert watched.value('sum(s3seal_key_requests_total{provider="transit",call="unwrap",outcome="ok"})') >= 1
    assert watched.value("sum(s3seal_plaintext_reads_total)") >= 1
    assert watched.value('max_over_time(s3seal_connections{listener="s3"}[1m])') >= 2
    assert watched.value('s3seal_connections{listener="admin"}') >= 1


def test_the_process_is_what_the_kernel_says(watched):
    pid = watched.proxy.process.pid
    shown = {
        name: watched.proxy.metric(f"process_{name}")[f"process_{name}"]
        for name in ("resident_memory_bytes", "threads", "open_fds", "max_fds", "cpu_seconds_total", "start_time_seconds")
    }
    with open(f"/proc/{pid}/status") as file:
        status = dict(line.split(":", 1) for line in file)
    with open(f"/proc/{pid}/limits") as file:
        limit = next(line for line in file if line.startswith("Max open files")).split()[3]
    resident = int(status["VmRSS"].split()[0]) * 1024
    assert 0.8 < shown["resident_memory_bytes"] / resident < 1.25
    assert shown["threads"] == int(status["Threads"])
    assert abs(shown["open_fds"] - len(os.listdir(f"/proc/{pid}/fd"))) <= 4  # connections come and go
    assert shown["max_fds"] == float(limit)
    assert 0 < shown["cpu_seconds_total"] < os.cpu_count() * (time.time() - watched.began + harness.START_SECONDS)
    assert abs(shown["start_time_seconds"] - watched.began) < harness.START_SECONDS


def test_the_certificate_ends_when_openssl_says(watched, tls):
    end = subprocess.run(
        ["openssl", "x509", "-noout", "-enddate", "-in", str(tls / "server-chain.pem")],
        check=True, capture_output=True, text=True, env={"TZ": "UTC", "PATH": os.environ["PATH"]},
    ).stdout.strip().partition("=")[2]
    ends = time.strptime(end, "%b %d %H:%M:%S %Y GMT")
    assert watched.value('s3seal_certificate_not_after_seconds{certificate="listen"}') == calendar.timegm(ends)


def test_promtool_finds_nothing_to_say_about_the_metrics(watched):
    text = urllib.request.urlopen(f"http://{watched.proxy.admin}/metrics", timeout=5).read()
    checked = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True)
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, b"", b"")


def test_the_manual_has_every_metric(watched):
    manual = (harness.REPO / "src/manual/metrics.md").read_text()
    known = set(re.findall(r"^\| `(\w+)` \|", manual, re.M))
    text = urllib.request.urlopen(f"http://{watched.proxy.admin}/metrics", timeout=5).read().decode()
    assert set(re.findall(r"^# TYPE (\w+) ", text, re.M)) <= known

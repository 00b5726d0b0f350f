"""The status page in a real browser: of a proxy that had its share of trouble, and of one that says what no proxy would.

Chromium runs without a window and without a network but loopback; what it asked for is in its own log.
"""
import contextlib
import dataclasses
import html
import http.server
import itertools
import json
import re
import shutil
import struct
import subprocess
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

import pytest
from botocore.exceptions import ClientError, HTTPClientError

import bodies
import harness
import stored
from conftest import new_bucket

pytestmark = [
    pytest.mark.proxied,
    pytest.mark.skipif(shutil.which("chromium") is None, reason="Debian's package chromium is not installed"),
]

PAGE = harness.REPO / "src/app/status/page.html"
OBJECT_KEY = "quarterly-report-of-nobody"
QUERY = "response-content-type=text%2Fodd"
NARROW, WIDE = 400, 1400
FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--hide-scrollbars", "--enable-logging=stderr",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
]


@dataclasses.dataclass
class Seen:
    """What came of a visit."""

    dom: str
    console: list
    hosts: set


def visit(url, folder, *flags, width=WIDE):
    """Loads a page, lets five seconds of its time pass, and says what is there."""
    log = folder / "net.json"
    log.unlink(missing_ok=True)
    command = [
        "chromium", *FLAGS, f"--user-data-dir={folder}/profile", f"--log-net-log={log}", f"--window-size={width},2600",
        "--virtual-time-budget=5000", *(flags or ["--dump-dom"]), url,
    ]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL)
    assert ran.returncode == 0, ran.stderr[-2000:]
    console = [line for line in ran.stderr.splitlines() if "CONSOLE" in line]
    return Seen(ran.stdout, console, asked_for(log, url))


def asked_for(log, page):
    """Hosts that the page asked for. What the browser does for itself has no page as its initiator, and gets nowhere."""
    host, asked = urllib.parse.urlsplit(page).netloc, set()
    for event in json.loads(log.read_text())["events"]:
        parameters = event.get("params", {})
        if "url" in parameters and host in str(parameters.get("initiator")):
            asked.add(urllib.parse.urlsplit(parameters["url"]).netloc)
    return asked


def text_of(dom):
    body = re.sub(r"<(script|style)>.*?</\1>", "", dom, flags=re.S)
    return html.unescape(re.sub(r"<[^>]+>", " ", body)).replace("\u00a0", " ")


@pytest.fixture(scope="module")
def loaded(home, upstreams, tls):
    folder = home / "status"
    folder.mkdir()
    harness.s3seal("key", "create", "--keyring", folder / "keyring.json", "default")
    harness.s3seal("key", "create", "--keyring", folder / "keyring.json", "managed")
    harness.s3seal("key", "rotate", "--keyring", folder / "keyring.json", "default")
    upstream = upstreams["seaweedfs"]
    keys = harness.DEFAULT_KEYS.format(home=folder)
    proxy = harness.S3Seal(folder, upstream, "seaweedfs-status", tls=tls, keys=keys).start()
    try:
        proxy.bucket = new_bucket(upstream)
        load(proxy, upstream)
        yield proxy
    finally:
        proxy.stop()


def load(proxy, upstream):
    """Two steps of the history full of requests, some of which go wrong."""
    s3 = proxy.endpoint.boto()
    stranger = dataclasses.replace(proxy.endpoint, secret_key="another").boto()
    # The damage is far behind what is verified before the head of the answer.
    for key, size in ((OBJECT_KEY, 200_000), ("broken", 4_000_000)):
        s3.put_object(Bucket=proxy.bucket, Key=key, Body=bodies.body(size, seed=1))
    there = stored.fetch(upstream, proxy.bucket, "broken")
    broken = bytearray(there.body)
    broken[3_500_000] ^= 1
    stored.put(upstream, proxy.bucket, "broken", dataclasses.replace(there, body=bytes(broken)))
    ends = time.monotonic() + 12
    while time.monotonic() < ends:
        s3.get_object(Bucket=proxy.bucket, Key=OBJECT_KEY, ResponseContentType="text/odd")["Body"].read()
        for refused in (
            lambda: stranger.get_object(Bucket=proxy.bucket, Key=OBJECT_KEY),
            lambda: s3.get_object(Bucket=proxy.bucket, Key="broken")["Body"].read(),
        ):
            with contextlib.suppress(ClientError, HTTPClientError):
                refused()


def status_of(proxy):
    return json.load(urllib.request.urlopen(f"http://{proxy.admin}/status.json", timeout=5))


def test_the_page_shows_what_happened(loaded, tmp_path):
    status = status_of(loaded)
    seen = visit(f"http://{loaded.admin}/", tmp_path)
    text = text_of(seen.dom)
    assert seen.console == []
    assert seen.hosts == {loaded.admin}
    upstream = status["configuration"]["upstream"]["endpoint"]
    for expected in (
        "Ready", "Needs attention", "GetObject", "SignatureDoesNotMatch", "local", "default", "decrypt-only", upstream, loaded.address,
        loaded.bucket, harness.CLIENT_KEY, status["build"]["rustc"], status["failures"][0]["request_id"], "200, broken off",
        status["refusals"][0]["request_id"], "listen",
    ):
        assert expected in text, expected
    assert "No answer" not in text
    assert seen.dom.count('class="line"') >= 4


def test_the_data_is_what_happened_and_tells_nothing_else(loaded, upstreams):
    status = status_of(loaded)
    operations = {each["name"]: each["calls"] for each in status["operations"]}
    assert operations["GetObject"]["count"] > 10 and operations["GetObject"]["p50_seconds"] > 0
    assert len(operations["GetObject"]["rates"]) == status["window"]["steps"] >= 2
    assert status["upstream"]["last_answer_unix"] <= status["now_unix"]
    assert any(not each["complete"] and each["bucket"] == loaded.bucket for each in status["failures"]), status["failures"]
    assert status["refusals"][0]["code"] == "SignatureDoesNotMatch" and status["refusals"][0]["fault"] == "client"
    assert status["integrity_failures"]["body"] > 0
    assert status["bytes"]["client_out"]["total"] > 200_000
    assert status["keys"][0]["active_version"] == 2 and status["keys"][0]["written_by"] == [0]
    everything = json.dumps(status)
    for secret in (harness.CLIENT_SECRET, upstreams["seaweedfs"].secret_key, OBJECT_KEY, "text%2Fodd", "text/odd", "Signature="):
        assert secret not in everything, secret


def test_the_log_filter_changes_and_says_so(loaded):
    def ask(method, query=""):
        request = urllib.request.Request(f"http://{loaded.admin}/log{query}", method=method)
        return urllib.request.urlopen(request, timeout=5).read().decode().strip()

    def lines(text):
        return loaded.log.read_text().count(text)

    before = ask("GET")
    try:
        assert ask("PUT", "?filter=off") == "off"
        assert lines("log filter changed by the admin listener") == 1
        length = loaded.log.stat().st_size
        loaded.endpoint.boto().get_object(Bucket=loaded.bucket, Key=OBJECT_KEY)["Body"].read()
        assert loaded.log.stat().st_size == length
        with pytest.raises(urllib.error.HTTPError, match="400"):
            ask("PUT", "?filter=%3D%3D")
        assert ask("GET") == "off"
    finally:
        ask("PUT", f"?filter={urllib.parse.quote(before, safe='')}")
    assert lines("log filter changed by the admin listener") == 2


def test_only_reads(loaded):
    for path in ("/", "/status.json"):
        for method in ("POST", "PUT", "DELETE", "OPTIONS"):
            request = urllib.request.Request(f"http://{loaded.admin}{path}", method=method)
            with pytest.raises(urllib.error.HTTPError) as refused:
                urllib.request.urlopen(request, timeout=5)
            assert (refused.value.code, refused.value.headers["Allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize("width", [NARROW, WIDE])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_picture_at_each_width(loaded, tmp_path, home, width, scheme):
    picture = home / f"status-{width}-{scheme}.png"
    dark = ["--blink-settings=preferredColorScheme=0"] if scheme == "dark" else []
    visit(f"http://{loaded.admin}/", tmp_path, f"--screenshot={picture}", *dark, width=width)
    data = picture.read_bytes()
    assert struct.unpack(">II", data[16:24])[0] == width
    assert len(data) > 20_000  # an empty page is a tenth of that


# --- a server that says what no proxy would

HOSTILE = '<script>document.title="owned"</script><img src=x onerror=document.title="owned">&amp;"\''
# At the end of a copy of the page: what a person would see at once.
PROBE = """<script>setTimeout(() => {
  const wide = document.documentElement, out = [...document.querySelectorAll("main *")].filter((each) => {
    const box = each.getBoundingClientRect();
    return box.width > 0 && (box.right > innerWidth + 1 || box.left < -1);
  });
  const told = top.document.body.dataset;
  told.overflow = wide.scrollWidth > innerWidth ? "yes" : "no";
  told.out = out.length;
  told.width = innerWidth;
}, 1000)</script>"""
# Windows of the browser are 500 wide at least.
FRAME = f'<!doctype html><body><iframe src="/" width="{NARROW}" height="4000" style="border: 0"></iframe></body>'.encode()


def hostile(value):
    """Every text is replaced, the few that the page reads as words aside."""
    if isinstance(value, dict):
        return {name: each if name in ("state", "breaker") else hostile(each) for name, each in value.items()}
    if isinstance(value, list):
        return [hostile(each) for each in value]
    return HOSTILE if isinstance(value, str) else value


@contextlib.contextmanager
def pretender(page, status, answers=10**9):
    """Serves a page, and what it asks for, so many times."""
    asked = itertools.count()

    class Answers(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            is_data = self.path == "/status.json"
            self.send_response(503 if is_data and next(asked) >= answers else 200)
            self.send_header("Content-Type", "application/json" if is_data else "text/html")
            self.end_headers()
            self.wfile.write(status if is_data else page if self.path == "/" else FRAME)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield "http://%s:%d/" % server.server_address
    finally:
        server.shutdown()
        server.server_close()


def probed():
    return PAGE.read_bytes().replace(b"</body>", PROBE.encode() + b"</body>")


def test_nothing_that_is_shown_is_read_as_html(loaded, tmp_path):
    status = hostile(status_of(loaded))
    with pretender(PAGE.read_bytes(), json.dumps(status).encode()) as url:
        seen = visit(url, tmp_path)
    assert "<img" not in seen.dom and "owned</title>" not in seen.dom
    assert HOSTILE in text_of(seen.dom)
    assert len(re.findall("<script", seen.dom)) == 1  # its own
    assert seen.console == []


@pytest.mark.parametrize("change", [lambda status: status, hostile], ids=["as-it-is", "hostile"])
@pytest.mark.parametrize(("path", "width"), [("frame", NARROW), ("", 720), ("", 760), ("", 1001), ("", WIDE)])
def test_nothing_is_cut(loaded, tmp_path, path, width, change):
    with pretender(probed(), json.dumps(change(status_of(loaded))).encode()) as url:
        dom = visit(url + path, tmp_path, width=WIDE if path else width).dom
    assert f'data-width="{width}"' in dom
    assert 'data-overflow="no"' in dom and 'data-out="0"' in dom


def test_the_policy_lets_nothing_else_run(loaded, tmp_path):
    """A page with one more script and style, under the policy of the real one."""
    policy = urllib.request.urlopen(f"http://{loaded.admin}/", timeout=5).headers["Content-Security-Policy"]
    meta = f'<meta http-equiv="Content-Security-Policy" content="{policy.replace("; frame-ancestors", "")}">'.encode()
    page = probed().replace(b"<head>", b"<head>" + meta)
    with pretender(page, json.dumps(status_of(loaded)).encode()) as url:
        seen = visit(url, tmp_path)
    assert "GetObject" in text_of(seen.dom), "its own script runs"
    assert "data-width" not in seen.dom, "the other does not"
    assert any("Content Security Policy" in line for line in seen.console)


def test_silence_is_told(loaded, tmp_path):
    status = json.dumps(status_of(loaded)).encode()
    with pretender(PAGE.read_bytes(), status, answers=0) as url:
        silent = visit(url, tmp_path).dom
    assert "No answer yet" in text_of(silent) and "Ready" not in text_of(silent)
    with pretender(PAGE.read_bytes(), status, answers=1) as url:
        stale = visit(url, tmp_path).dom
    assert re.search(r"No answer since \d\d:\d\d:\d\d UTC", text_of(stale))
    assert 'class="stale"' in stale and "GetObject" in text_of(stale)
    assert "Ready" not in text_of(stale)

"""Docker's registry keeps its blobs in S3: it resumes a multipart upload that it finds by listing."""
import hashlib
import http.client
import json
import os
import ssl
import subprocess
import time
import urllib.parse
import urllib.request

import pytest

import bodies
import harness

MIB = 1 << 20
# The second piece is too short for a part; the whole is long enough to be copied in parts.
PIECES = [6 * MIB + 123, 300_000, 28 * MIB]
MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"


class Registry:
    """One `docker-registry serve`."""

    def __init__(self, endpoint, bucket, home):
        self.address, self.log = harness.free_address(), home / "registry.log"
        (home / "registry.yml").write_text(self._render(endpoint, bucket))
        self.context = ssl.create_default_context(cafile=endpoint.ca) if endpoint.tls else None
        trust = {"SSL_CERT_FILE": endpoint.ca} if endpoint.tls else {}
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                ["docker-registry", "serve", str(home / "registry.yml")],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, env={"PATH": os.environ["PATH"]} | trust,
            )
        deadline = time.monotonic() + harness.START_SECONDS
        while not self._ready():
            assert self.process.poll() is None and time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.05)

    def _render(self, endpoint, bucket):
        return f"""
version: 0.1
storage:
  s3:
    region: {harness.REGION}
    regionendpoint: {endpoint.url}
    bucket: {bucket}
    accesskey: {endpoint.access_key}
    secretkey: {endpoint.secret_key}
  delete: {{enabled: true}}
http:
  addr: {self.address}
  secret: a-secret
"""

    def _ready(self):
        try:
            return self.send("GET", "/v2/").status == 200
        except OSError:
            return False

    def send(self, method, target, body=None, expect=None, **headers):
        """`target` is a path, or the Location of the answer before."""
        url = urllib.parse.urlsplit(target)
        connection = http.client.HTTPConnection(self.address, timeout=120)
        path = url.path + (f"?{url.query}" if url.query else "")
        connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
        answer = connection.getresponse()
        answer.body = answer.read()
        connection.close()
        assert expect in (None, answer.status), f"{method} {target}: {answer.status} {answer.body}\n{self.log.read_text()[-4000:]}"
        return answer

    def push(self, *pieces):
        """A blob, one PATCH for each piece; returns its digest."""
        answer, start = self.send("POST", "/v2/app/blobs/uploads/", expect=202), 0
        for piece in pieces:
            place = {"Content_Range": f"{start}-{start + len(piece) - 1}", "Content_Type": "application/octet-stream"}
            answer = self.send("PATCH", answer.headers["Location"], piece, 202, **place)
            start += len(piece)
        digest = digest_of(b"".join(pieces))
        self.send("PUT", f"{answer.headers['Location']}&digest={digest}", expect=201)
        return digest

    def pull(self, digest):
        """The registry sends its clients to a presigned URL of the S3 endpoint."""
        answer = self.send("GET", f"/v2/app/blobs/{digest}", expect=307)
        with urllib.request.urlopen(answer.headers["Location"], context=self.context) as blob:
            return blob.read()

    def stop(self):
        self.process.terminate()
        self.process.wait(timeout=30)


def digest_of(body):
    return f"sha256:{hashlib.sha256(body).hexdigest()}"


@pytest.fixture
def registry(seaweedfs, fresh_bucket, tmp_path):
    registry = Registry(seaweedfs, fresh_bucket, tmp_path)
    yield registry
    registry.stop()


def test_image_is_pushed_pulled_and_deleted(registry):
    pieces = [bodies.body(size, seed) for seed, size in enumerate(PIECES)]
    config = json.dumps({"os": "linux", "comment": bodies.MARKER.decode()}).encode()
    layer, settings = registry.push(*pieces), registry.push(config)
    manifest = json.dumps({
        "schemaVersion": 2, "mediaType": MANIFEST,
        "config": {"mediaType": "application/vnd.docker.container.image.v1+json", "size": len(config), "digest": settings},
        "layers": [{"mediaType": "application/vnd.docker.image.rootfs.diff.tar.gzip", "size": sum(PIECES), "digest": layer}],
    }).encode()
    registry.send("PUT", "/v2/app/manifests/latest", manifest, 201, Content_Type=MANIFEST)

    pulled = registry.send("GET", "/v2/app/manifests/latest", expect=200, Accept=MANIFEST)
    assert pulled.body == manifest
    assert registry.pull(settings) == config
    assert digest_of(registry.pull(layer)) == layer
    assert json.loads(registry.send("GET", "/v2/app/tags/list", expect=200).body)["tags"] == ["latest"]
    assert json.loads(registry.send("GET", "/v2/_catalog", expect=200).body)["repositories"] == ["app"]

    registry.send("DELETE", f"/v2/app/manifests/{digest_of(manifest)}", expect=202)
    registry.send("DELETE", f"/v2/app/blobs/{layer}", expect=202)
    registry.send("GET", f"/v2/app/blobs/{layer}", expect=404)

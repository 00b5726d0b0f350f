"""The webhook's certificate, which Helm makes, stays over upgrades until its last third.

What the cluster has is answered by a server that knows nothing but that Secret: no API server comes from a package registry.
"""
import copy
import http.server
import json
import threading
import time

import pytest

import harness
from harness import CHART, HELM, HELM3, of_kind

WEBHOOK = CHART / "ci/webhook-existing-values.yaml"
SECRETS = f"/api/v1/namespaces/{harness.NAMESPACE}/secrets/"


def discovery():
    """What the API server says of itself: the kinds that the chart renders."""
    versions = {}
    for manifest in harness.rendered(CHART / "ci/everything-values.yaml"):
        versions.setdefault(manifest["apiVersion"], {})[manifest["kind"]] = manifest["metadata"].get("namespace")
    answers = {
        "/version": {"major": "1", "minor": "36", "gitVersion": "v1.36.0"},
        "/api": {"kind": "APIVersions", "versions": ["v1"]},
        "/apis": {"kind": "APIGroupList", "apiVersion": "v1", "groups": []},
    }
    for version, kinds in versions.items():
        group, _, name = version.rpartition("/")
        if group:
            this = {"groupVersion": version, "version": name}
            answers["/apis"]["groups"].append({"name": group, "versions": [this], "preferredVersion": this})
        resources = [{"name": plural(kind), "singularName": kind.lower(), "kind": kind, "namespaced": bool(namespace),
                      "verbs": ["get", "create", "patch"]} for kind, namespace in kinds.items()]
        answers[f"/apis/{version}" if group else "/api/v1"] = {
            "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": version, "resources": resources}
    return answers


def plural(kind):
    kind = kind.lower()
    return kind[:-1] + "ies" if kind.endswith("y") else kind + "s"


class Cluster(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        path = self.path.partition("?")[0].rstrip("/")
        name = path.removeprefix(SECRETS)
        answer = self.server.discovery.get(path) or self.server.secrets.get(name)
        body = json.dumps(answer or {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404})
        self.send_response(200 if answer else 404)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_):
        pass


@pytest.fixture()
def secrets():
    """Secrets by name, and where they are served."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Cluster)
    server.secrets, server.discovery = {}, discovery()
    serving = threading.Thread(target=server.serve_forever)
    serving.start()
    yield server.secrets, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    serving.join()
    server.server_close()


def upgrade(secrets, program=HELM):
    """Renders as an upgrade would, and has the cluster take the Secret; returns it with the webhook's caBundle."""
    held, address = secrets
    more = ["--set", "webhook.certificate.method=helm", "--dry-run=server", "--kube-apiserver", address,
            "--disable-openapi-validation"]
    manifests = harness.documents(harness.template(WEBHOOK, program=program, more=more).stdout)
    (secret,) = of_kind(manifests, "Secret")
    (configuration,) = of_kind(manifests, "MutatingWebhookConfiguration")
    owned = copy.deepcopy(secret)
    owned["metadata"]["annotations"] |= {"meta.helm.sh/release-name": harness.RELEASE,
                                         "meta.helm.sh/release-namespace": harness.NAMESPACE}
    held[secret["metadata"]["name"]] = owned
    return secret, configuration["webhooks"][0]["clientConfig"]["caBundle"]


@pytest.mark.parametrize("program", [HELM, HELM3], ids=["newest", "3"])
def test_it_stays(secrets, program):
    if not program:
        pytest.skip("HELM3 is not set")
    first, second = upgrade(secrets, program), upgrade(secrets, program)
    assert first == second
    secret, authority = second
    assert authority == secret["data"]["ca.crt"]
    ends = int(secret["metadata"]["annotations"]["s3seal.io/renew-after"])
    assert abs(ends - time.time() - 1825 * 86400 * 2 / 3) < 600


def test_it_is_made_anew_where_it_has_to_be(secrets):
    """Where it is old, not made here, or not whole."""
    past = {"s3seal.io/renew-after": str(int(time.time()) - 60)}
    before, _ = upgrade(secrets)
    for damage in (
        lambda secret: secret["metadata"]["annotations"].update(past),
        lambda secret: secret["metadata"]["annotations"].pop("s3seal.io/renew-after"),
        lambda secret: secret["data"].pop("ca.crt"),
        lambda secret: secret["data"].update({"tls.key": ""}),
    ):
        damage(secrets[0][before["metadata"]["name"]])
        after, authority = upgrade(secrets)
        assert after["data"]["tls.crt"] != before["data"]["tls.crt"]
        assert authority == after["data"]["ca.crt"] and after["data"]["tls.key"]
        before = after

"""The program itself as the webhook, with what the chart renders for it: certificate, profiles, arguments."""
import base64
import copy
import http.client
import json
import os
import socket
import ssl
import subprocess
import time

import jsonpatch
import pytest

import harness
import policy
from harness import CHART, of_kind, rendered, validate, values_of

CASE = CHART / "ci/sidecar-profiles-values.yaml"
APP = {"name": "app", "image": "app", "env": [{"name": "AWS_ACCESS_KEY_ID", "value": "its own"}]}


@pytest.fixture(scope="module")
def webhook(tmp_path_factory):
    """How to ask it: a connection that trusts the caBundle alone, by the name of the Service."""
    program = os.environ.get("S3SEAL_BIN")
    if not program:
        pytest.skip("S3SEAL_BIN is not set")
    manifests = rendered(CASE)
    files = tmp_path_factory.mktemp("webhook")
    (deployment,) = (one for one in of_kind(manifests, "Deployment") if one["metadata"]["name"].endswith("-webhook"))
    pod = deployment["spec"]["template"]["spec"]
    for mount in pod["containers"][0]["volumeMounts"]:
        (volume,) = (one for one in pod["volumes"] if one["name"] == mount["name"])
        lay_out(volume, manifests, files / mount["mountPath"].lstrip("/"))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    arguments = [argument.replace("0.0.0.0:8443", f"127.0.0.1:{port}").replace("/etc/", f"{files}/etc/")
                 for argument in pod["containers"][0]["args"]]
    running = subprocess.Popen([program, *arguments], env={}, stderr=subprocess.PIPE, text=True)
    try:
        yield client(manifests, port, running)
    finally:
        running.terminate()
        assert running.wait(20) == 0
        running.stderr.close()


def lay_out(volume, manifests, folder):
    """Files of a Secret or ConfigMap, as the kubelet makes them."""
    kind, name = ("Secret", volume["secret"]["secretName"]) if "secret" in volume else ("ConfigMap", volume["configMap"]["name"])
    (source,) = (one for one in of_kind(manifests, kind) if one["metadata"]["name"] == name)
    folder.mkdir(parents=True)
    for key, text in source["data"].items():
        (folder / key).write_bytes(base64.b64decode(text) if kind == "Secret" else text.encode())


def client(manifests, port, running):
    (configuration,) = of_kind(manifests, "MutatingWebhookConfiguration")
    call = configuration["webhooks"][0]["clientConfig"]
    host = f"{call['service']['name']}.{call['service']['namespace']}.svc"
    trust = ssl.create_default_context(cadata=base64.b64decode(call["caBundle"]).decode())

    def ask(method, path=call["service"]["path"], body=None):
        connection = http.client.HTTPSConnection(host, context=trust, timeout=10)
        connection.sock = trust.wrap_socket(socket.create_connection(("127.0.0.1", port), 10), server_hostname=host)
        connection.request(method, path, body and json.dumps(body), {"Content-Type": "application/json"})
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        return answer.status, text

    deadline = time.monotonic() + 20
    while True:
        try:
            ask("GET", "/healthz")
            return ask
        except ConnectionRefusedError:
            assert running.poll() is None, running.stderr.read()
            assert time.monotonic() < deadline
            time.sleep(0.05)


def review(webhook, pod):
    """The pod as the API server would store it, and the answer."""
    request = {"uid": "1", "operation": "CREATE", "kind": {"group": "", "version": "v1", "kind": "Pod"},
               "resource": {"group": "", "version": "v1", "resource": "pods"}, "namespace": "team-b", "object": pod}
    status, text = webhook("POST", body={"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request})
    assert status == 200, text
    response = json.loads(text)["response"]
    patch = json.loads(base64.b64decode(response["patch"])) if "patch" in response else []
    return jsonpatch.apply_patch(copy.deepcopy(pod), patch), response


def pod_asking(profile):
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "app", "annotations": {"s3seal.io/inject": profile}},
            "spec": {"containers": [copy.deepcopy(APP)]}}


def test_the_kubelet_finds_it_healthy(webhook):
    (probe,) = {json.dumps(container["livenessProbe"]["httpGet"]) for one in of_kind(rendered(CASE), "Deployment")
                for container in one["spec"]["template"]["spec"]["containers"] if container["name"] == "webhook"}
    assert json.loads(probe)["scheme"] == "HTTPS"
    assert webhook("GET", json.loads(probe)["path"])[0] == 200


@pytest.mark.parametrize("profile", sorted(values_of(CASE)["sidecar"]["profiles"]))
def test_a_pod_gets_its_profile(webhook, profile):
    made, response = review(webhook, pod_asking(profile))
    assert response["allowed"] and made["metadata"]["annotations"]["s3seal.io/status"] == "injected"
    validate(made)
    wanted = dict(harness.profiles(rendered(CASE)))[profile]
    assert made["spec"]["initContainers"] == wanted["initContainers"]
    assert made["spec"]["volumes"] == wanted["volumes"]
    env = {one["name"]: one.get("value") for one in made["spec"]["containers"][0]["env"]}
    assert env["AWS_ENDPOINT_URL_S3"].startswith("http://127.0.0.1:")
    assert env["AWS_ACCESS_KEY_ID"] == "its own"
    assert review(webhook, made)[0] == made, "asked again it adds nothing"


def test_true_is_the_default_profile(webhook):
    one, other = (review(webhook, pod_asking(profile))[0] for profile in ("true", "default"))
    assert one["spec"] == other["spec"]


def test_a_profile_that_is_not_there_is_refused(webhook):
    made, response = review(webhook, pod_asking("other"))
    assert not response["allowed"] and made == pod_asking("other")
    assert "other-port" in response["status"]["message"]


def test_what_is_made_meets_the_policies(webhook):
    """Of the sidecar; the app is as it was."""
    for profile in values_of(CASE)["sidecar"]["profiles"]:
        made, _ = review(webhook, pod_asking(profile))
        made["spec"]["containers"] = []
        manifest = {"kind": "Deployment", "metadata": {"name": profile}, "spec": {"template": made}}
        for check in (policy.runs_as_another_user_than_root, policy.has_no_privileges, policy.has_a_root_that_is_read_only,
                      policy.has_the_seccomp_profile_of_the_runtime, policy.has_limits, policy.has_probes_that_hit_ports,
                      policy.mounts_what_is_there):
            assert list(check([manifest], values_of(CASE))) == []

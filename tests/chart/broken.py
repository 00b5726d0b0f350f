"""Manifests that each check of policy.py has to refuse: what shows that it can."""
import base64
import datetime
import json

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from harness import of_kind


def first(manifests, kind, name=""):
    return next(one for one in of_kind(manifests, kind) if one["metadata"]["name"].endswith(name))


def pod(manifests, name="s3seal"):
    return first(manifests, "Deployment", name)["spec"]["template"]["spec"]


def container(manifests, name="s3seal"):
    return pod(manifests, name)["containers"][0]


def put(place, key, value):
    place[key] = value


def profile(manifests, change):
    """Changes the webhook's profile."""
    data = first(manifests, "ConfigMap", "-webhook")["data"]
    content = json.loads(data["default.json"])
    change(content)
    data["default.json"] = json.dumps(content)


def listen(manifests, name, before, after):
    data = first(manifests, "ConfigMap", name)["data"]
    assert before in data["s3seal.toml"]
    data["s3seal.toml"] = data["s3seal.toml"].replace(before, after)


def job(manifests):
    return first(manifests, "Job")["spec"]


def webhook(manifests):
    return first(manifests, "MutatingWebhookConfiguration")["webhooks"][0]


def stranger():
    """An authority that signed nothing here."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "stranger")])
    now = datetime.datetime.now(datetime.timezone.utc)
    made = x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + datetime.timedelta(days=1))
    return base64.b64encode(made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)).decode()


BROKEN = {
    "runs_as_another_user_than_root": [
        lambda m: put(container(m)["securityContext"], "runAsUser", 0),
        lambda m: put(pod(m)["securityContext"], "runAsNonRoot", False),
        lambda m: profile(m, lambda p: p["initContainers"][0]["securityContext"].pop("runAsNonRoot")),
    ],
    "has_no_privileges": [
        lambda m: put(container(m)["securityContext"], "privileged", True),
        lambda m: container(m, "webhook")["securityContext"].pop("allowPrivilegeEscalation"),
        lambda m: put(container(m)["securityContext"]["capabilities"], "drop", []),
        lambda m: put(job(m)["template"]["spec"]["containers"][0]["securityContext"]["capabilities"], "add", ["NET_RAW"]),
    ],
    "has_a_root_that_is_read_only": [lambda m: put(pod(m)["initContainers"][0]["securityContext"], "readOnlyRootFilesystem", False)],
    "has_the_seccomp_profile_of_the_runtime": [lambda m: pod(m)["securityContext"].pop("seccompProfile")],
    "has_limits": [
        lambda m: container(m)["resources"]["limits"].pop("cpu"),
        lambda m: profile(m, lambda p: p["initContainers"][0].pop("resources")),
    ],
    "has_probes_that_hit_ports": [
        lambda m: put(container(m)["livenessProbe"]["httpGet"], "port", "health"),
        lambda m: put(container(m)["livenessProbe"]["httpGet"], "path", "/"),
        lambda m: [container(m, "webhook").pop(kind) for kind in ("livenessProbe", "readinessProbe")],
    ],
    "listens_on_nothing_else": [lambda m: container(m)["ports"].append({"name": "debug", "containerPort": 6060})],
    "shares_nothing_with_the_node": [
        lambda m: put(pod(m), "hostNetwork", True),
        lambda m: pod(m)["volumes"].append({"name": "host", "hostPath": {"path": "/"}}),
        lambda m: put(container(m)["ports"][0], "hostPort", 9000),
    ],
    "has_no_token_of_the_api": [
        lambda m: pod(m, "webhook").pop("automountServiceAccountToken"),
        lambda m: put(first(m, "ServiceAccount"), "automountServiceAccountToken", True),
    ],
    "has_no_variables_of_services": [lambda m: pod(m).pop("enableServiceLinks")],
    "mounts_what_is_there": [
        lambda m: put(container(m)["volumeMounts"][0], "name", "nothing"),
        lambda m: pod(m)["volumes"].append(pod(m)["volumes"][0]),
    ],
    "leaves_time_to_drain": [
        lambda m: put(pod(m), "terminationGracePeriodSeconds", 35),
        lambda m: put(pod(m, "webhook"), "terminationGracePeriodSeconds", 5),
    ],
    "has_what_it_refers_to": [
        lambda m: put(pod(m)["volumes"][1]["secret"], "secretName", "nobody-made-it"),
        lambda m: put(container(m), "envFrom", [{"secretRef": {"name": "nobody-made-it"}}]),
        lambda m: m.remove(first(m, "ConfigMap", "-sidecar-default")) or m.remove(first(m, "ConfigMap", "-sidecar-default")),
        lambda m: put(first(m, "Ingress")["spec"], "tls", [{"secretName": "nobody-made-it"}]),
    ],
    "has_names_that_fit": [
        lambda m: put(first(m, "Service")["metadata"], "name", "x" * 64),
        lambda m: m.append(m[0]),
        lambda m: put(first(m, "Service")["metadata"]["labels"], "version", "0.1.0+build"),
        lambda m: put(first(m, "Job")["metadata"], "name", "x" * 62),
    ],
    "selects_its_pods": [
        lambda m: put(first(m, "Deployment")["spec"]["selector"]["matchLabels"], "app.kubernetes.io/component", "other"),
        lambda m: first(m, "Service")["spec"]["selector"].pop("app.kubernetes.io/component"),
        lambda m: put(first(m, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"], "app", "other"),
        lambda m: put(first(m, "NetworkPolicy")["spec"]["podSelector"], "matchLabels", {}),
    ],
    "leads_to_ports": [
        lambda m: put(first(m, "Service", "s3seal")["spec"]["ports"][0], "targetPort", "http"),
        lambda m: first(m, "Service", "s3seal")["spec"]["ports"].append({"name": "admin", "port": 9001, "targetPort": "admin"}),
        lambda m: m.remove(first(m, "Service", "-admin")),
        lambda m: put(first(m, "PodMonitor", "s3seal")["spec"]["podMetricsEndpoints"][0], "port", "metrics"),
        lambda m: put(first(m, "Ingress")["spec"]["rules"][0]["http"]["paths"][0]["backend"]["service"], "name", "other"),
        lambda m: put(first(m, "TLSRoute")["spec"]["rules"][0]["backendRefs"][0], "port", 443),
    ],
    "lets_through_what_is_needed": [
        lambda m: first(m, "NetworkPolicy")["spec"]["ingress"].pop(0),
        lambda m: first(m, "NetworkPolicy")["spec"]["ingress"][1].pop("from"),
        lambda m: put(first(m, "NetworkPolicy", "-webhook")["spec"], "ingress", []),
        lambda m: put(first(m, "NetworkPolicy")["spec"]["ingress"][0]["ports"][0], "port", "other"),
        lambda m: first(m, "NetworkPolicy")["spec"]["egress"].pop(0),
    ],
    "scales_without_a_fixed_number": [
        lambda m: put(first(m, "Deployment")["spec"], "replicas", 2),
        lambda m: put(first(m, "HorizontalPodAutoscaler")["spec"]["scaleTargetRef"], "name", "other"),
    ],
    "speaks_plain_http_only_where_asked": [
        lambda m: listen(m, "release-s3seal", "tls = {", "# tls = {"),
        lambda m: listen(m, "-sidecar-default", 'address = "127.0.0.1:9000"', 'address = "0.0.0.0:9000"\ntls = {}'),
    ],
    "retries_each_worker": [
        lambda m: put(job(m)["template"]["spec"], "restartPolicy", "OnFailure"),
        lambda m: job(m).pop("backoffLimitPerIndex"),
        lambda m: put(job(m), "completions", 5),
        lambda m: put(job(m)["template"]["spec"]["containers"][0]["args"], -1, "s3://ops/one.json"),
        lambda m: job(m)["podFailurePolicy"]["rules"].pop(),
    ],
    "runs_sidecars_natively": [
        lambda m: profile(m, lambda p: p["initContainers"][-1].pop("restartPolicy")),
        lambda m: profile(m, lambda p: p["initContainers"][-1].pop("startupProbe")),
        lambda m: profile(m, lambda p: put(p["initContainers"][0], "restartPolicy", "Always")),
        lambda m: profile(m, lambda p: put(p, "env", [])),
    ],
    "calls_a_webhook_that_it_trusts": [
        lambda m: put(webhook(m)["clientConfig"], "caBundle", stranger()),
        lambda m: put(webhook(m)["clientConfig"]["service"], "name", "other"),
        lambda m: [put(place, "name", "other") for place in
                   (first(m, "Service", "-webhook")["metadata"], webhook(m)["clientConfig"]["service"])],
    ],
    "asks_the_webhook_for_few_pods": [
        lambda m: put(webhook(m)["namespaceSelector"]["matchExpressions"][0], "values", ["kube-system"]),
        lambda m: webhook(m).pop("matchConditions"),
        lambda m: put(webhook(m), "failurePolicy", "Ignore"),
        lambda m: put(webhook(m), "timeoutSeconds", 30),
    ],
}

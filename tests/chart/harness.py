"""Renders the chart with the real Helm and finds its way in what comes out."""
import functools
import json
import os
import pathlib
import re
import subprocess

import kubernetes_validate
import yaml

REPO = pathlib.Path(__file__).resolve().parents[2]
CHART = REPO / "charts/s3seal"
CASES = sorted((CHART / "ci").glob("*-values.yaml"))
HELM = os.environ.get("HELM", "helm")
HELM3 = os.environ.get("HELM3")
KUBERNETES = "1.36"  # the newest version that validation and both Helms know
OLDEST = re.search(r'^kubeVersion: ">=(1\.\d+)', (CHART / "Chart.yaml").read_text(), re.MULTILINE)[1]
RELEASE, NAMESPACE = "release", "storage"
NOT_OF_KUBERNETES = {"monitoring.coreos.com/v1", "cert-manager.io/v1", "gateway.networking.k8s.io/v1",
                     "gateway.networking.k8s.io/v1alpha2"}


def helm(*arguments, program=HELM, check=True):
    """Runs Helm; returns what it prints, or fails with what it says."""
    done = subprocess.run(
        [program, *map(str, arguments)], capture_output=True, text=True, check=False
    )
    if check:
        assert done.returncode == 0, f"helm {' '.join(map(str, arguments))}\n{done.stderr}"
    return done


def template(*values, chart=CHART, program=HELM, check=True, release=RELEASE, more=()):
    files = [argument for file in values for argument in ("-f", file)]
    arguments = ["template", release, chart, "-n", NAMESPACE, "--kube-version", f"{KUBERNETES}.0"]
    return helm(*arguments, *files, *more, program=program, check=check)


@functools.cache
def rendered(values, chart=CHART, program=HELM):
    """The manifests of a value file, in the order of kind and name."""
    return documents(template(values, chart=chart, program=program).stdout)


def documents(text):
    found = [document for document in yaml.load_all(text, yaml.CSafeLoader) if document]
    return sorted(found, key=identity)


def identity(manifest):
    metadata = manifest["metadata"]
    return manifest["kind"], metadata.get("namespace", ""), metadata["name"]


def label(manifest):
    return f"{manifest['kind']}/{manifest['metadata']['name']}"


def of_kind(manifests, *kinds):
    return [manifest for manifest in manifests if manifest["kind"] in kinds]


def workloads(manifests):
    """Whatever makes pods."""
    return of_kind(manifests, "Deployment", "Job")


def profiles(manifests):
    """Name and content of each profile of the webhook."""
    for config in of_kind(manifests, "ConfigMap"):
        for name, text in config["data"].items():
            if name.endswith(".json") and "initContainers" in (content := json.loads(text)):
                yield name.removesuffix(".json"), content


def injected(profile):
    """A pod as the webhook makes it, of an app that fulfils the policies by itself."""
    security = {"runAsNonRoot": True, "runAsUser": 1000, "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
                "seccompProfile": {"type": "RuntimeDefault"}}
    size = {"cpu": "1", "memory": "1Gi"}
    app = {"name": "app", "image": "app", "env": profile["env"], "securityContext": security,
           "resources": {"requests": size, "limits": size}}
    return {
        "metadata": {"labels": {}, "annotations": {}},
        "spec": {"automountServiceAccountToken": False, "enableServiceLinks": False,
                 "initContainers": profile["initContainers"], "volumes": profile["volumes"],
                 "containers": [app]},
    }


def pods(manifests):
    """Name and template of every pod there would be, those with a sidecar included."""
    for workload in workloads(manifests):
        yield label(workload), workload["spec"]["template"]
    for name, profile in profiles(manifests):
        yield f"profile {name}", injected(profile)


def containers(pod):
    return pod["spec"].get("initContainers", []) + pod["spec"]["containers"]


def ports(pod):
    """Named ports of a pod."""
    return {port["name"]: port["containerPort"]
            for container in containers(pod) for port in container.get("ports", [])}


def configurations(manifests):
    """Name and text of each s3seal.toml."""
    for config in of_kind(manifests, "ConfigMap"):
        if "s3seal.toml" in config["data"]:
            yield "/".join(identity(config)[1:]), config["data"]["s3seal.toml"]


def selects(selector, labels):
    return all(labels.get(key) == value for key, value in selector.get("matchLabels", {}).items())


def validate(manifest):
    if manifest["apiVersion"] not in NOT_OF_KUBERNETES:
        for version in (OLDEST, KUBERNETES):
            kubernetes_validate.validate(manifest, version, strict=True)


def merged(values, others):
    """As Helm lays a value file over values.yaml: null removes."""
    result = dict(values)
    for key, value in others.items():
        if isinstance(value, dict) and isinstance(result.get(key), dict):
            result[key] = merged(result[key], value)
        elif value is None:
            result.pop(key, None)
        else:
            result[key] = value
    return result


def values_of(case):
    defaults, own = (yaml.safe_load(path.read_text()) for path in (CHART / "values.yaml", case))
    return merged(defaults, own or {})

"""What must hold for whatever the chart renders. A check takes the manifests of one rendering, and what the values say,
and yields a sentence for each thing that is wrong."""
import re
import tomllib

from harness import (configurations, containers, identity, label, of_kind, pods, ports, profiles,
                     selects, workloads)

CHECKS = []


def check(function):
    CHECKS.append(function)
    return function


def each_container(manifests):
    for name, pod in pods(manifests):
        for container in containers(pod):
            own, general = container.get("securityContext", {}), pod["spec"].get("securityContext", {})
            yield f"{name} {container['name']}", container, {**general, **own}


# --- containers -----------------------------------------------------------------------------------


@check
def runs_as_another_user_than_root(manifests, values):
    for name, _, security in each_container(manifests):
        if security.get("runAsNonRoot") is not True or security.get("runAsUser") == 0:
            yield f"{name} may run as root"


@check
def has_no_privileges(manifests, values):
    for name, _, security in each_container(manifests):
        if security.get("privileged") or security.get("allowPrivilegeEscalation") is not False:
            yield f"{name} may gain privileges"
        capabilities = security.get("capabilities", {})
        if capabilities.get("drop") != ["ALL"] or capabilities.get("add"):
            yield f"{name} has capabilities"


@check
def has_a_root_that_is_read_only(manifests, values):
    for name, _, security in each_container(manifests):
        if security.get("readOnlyRootFilesystem") is not True:
            yield f"{name} may write to its root"


@check
def has_the_seccomp_profile_of_the_runtime(manifests, values):
    for name, _, security in each_container(manifests):
        if security.get("seccompProfile", {}).get("type") != "RuntimeDefault":
            yield f"{name} has no seccomp profile"


@check
def has_limits(manifests, values):
    for name, container, _ in each_container(manifests):
        for kind in ("requests", "limits"):
            if not {"cpu", "memory"} <= set(container.get("resources", {}).get(kind, {})):
                yield f"{name} has no {kind} of CPU and memory"


@check
def has_probes_that_hit_ports(manifests, values):
    for name, pod in pods(manifests):
        for container in containers(pod):
            own = {port["name"] for port in container.get("ports", [])}
            probes = [container[kind] for kind in ("startupProbe", "livenessProbe", "readinessProbe")
                      if kind in container]
            for probe in probes:
                if probe["httpGet"]["port"] not in own:
                    yield f"{name}: a probe of {container['name']} hits no port"
                if probe["httpGet"]["path"] not in ("/healthz", "/readyz"):
                    yield f"{name}: a probe of {container['name']} asks for what there is not"
            if own and len(probes) < 2:
                yield f"{name}: {container['name']} serves and has no probes"


@check
def listens_on_nothing_else(manifests, values):
    wanted = [{}, {"s3": 9000, "admin": 9001}, {"webhook": 8443}]
    for name, pod in pods(manifests):
        found = ports(pod)
        if found not in wanted and set(found) != {"s3seal-admin"}:
            yield f"{name} has the ports {found}"


# --- pods -----------------------------------------------------------------------------------------


@check
def shares_nothing_with_the_node(manifests, values):
    for name, pod in pods(manifests):
        spec = pod["spec"]
        if any(spec.get(key) for key in ("hostNetwork", "hostPID", "hostIPC")):
            yield f"{name} is in a namespace of the node"
        if any("hostPath" in volume for volume in spec.get("volumes", [])):
            yield f"{name} has a folder of the node"
        if any("hostPort" in port for one in containers(pod) for port in one.get("ports", [])):
            yield f"{name} has a port of the node"


@check
def has_no_token_of_the_api(manifests, values):
    wanted = values["serviceAccount"]["automountToken"]
    for account in of_kind(manifests, "ServiceAccount"):
        if account.get("automountServiceAccountToken") not in (False, wanted):
            yield f"{label(account)} hands out its token"
    for name, pod in pods(manifests):
        if pod["spec"].get("automountServiceAccountToken") not in (False, wanted):
            yield f"{name} mounts a token"


@check
def has_no_variables_of_services(manifests, values):
    for name, pod in pods(manifests):
        if pod["spec"].get("enableServiceLinks") is not False:
            yield f"{name} gets variables that begin as overrides do"


@check
def mounts_what_is_there(manifests, values):
    for name, pod in pods(manifests):
        volumes = [volume["name"] for volume in pod["spec"].get("volumes", [])]
        mounts = {mount["name"] for one in containers(pod) for mount in one.get("volumeMounts", [])}
        if len(set(volumes)) != len(volumes):
            yield f"{name} has two volumes of one name"
        if set(volumes) != mounts:
            yield f"{name}: volumes and mounts differ in {sorted(set(volumes) ^ mounts)}"


@check
def leaves_time_to_drain(manifests, values):
    """The kubelet counts from before preStop and SIGTERM."""
    listeners = {name: tomllib.loads(text)["listen"] for name, text in configurations(manifests)}
    drains = {name: listen["drain_seconds"] + listen.get("drain_notice_seconds", 0) for name, listen in listeners.items()}
    for deployment in of_kind(manifests, "Deployment"):
        spec = deployment["spec"]["template"]["spec"]
        slept = spec["containers"][0].get("lifecycle", {}).get("preStop", {}).get("sleep", {})
        drain = drains.get(f"{deployment['metadata']['namespace']}/{deployment['metadata']['name']}", 0)
        if spec["terminationGracePeriodSeconds"] <= slept.get("seconds", 0) + drain:
            yield f"{label(deployment)} is killed while it drains"


@check
def has_what_it_refers_to(manifests, values):
    """Secrets and ConfigMaps are made here, or named in the values."""
    made = {kind: {identity(one)[1:] for one in of_kind(manifests, kind)} for kind in ("Secret", "ConfigMap")}
    for certificate in of_kind(manifests, "Certificate"):
        made["Secret"].add((certificate["metadata"]["namespace"], certificate["spec"]["secretName"]))
    named = set(strings(values))
    for workload in workloads(manifests):
        namespace = workload["metadata"]["namespace"]
        for kind, name in references(workload["spec"]["template"]):
            if (namespace, name) not in made[kind] and name not in named:
                yield f"{label(workload)} refers to a {kind} {name}, which nobody makes or names"
    for profile, content in profiles(manifests):
        wanted = values["sidecar"]["profiles"].get(profile, {}).get("namespaces", [])
        for kind, name in references(content):
            if name not in named and not all((space, name) in made[kind] for space in wanted):
                yield f"profile {profile} refers to a {kind} {name}, which its namespaces have not"
    for ingress in of_kind(manifests, "Ingress"):
        for tls in ingress["spec"].get("tls", []):
            if tls["secretName"] not in named:
                yield f"{label(ingress)} refers to a Secret {tls['secretName']}"


def references(node):
    """Kind and name of every Secret and ConfigMap that a pod template or profile names."""
    keys = {"secretName": "Secret", "secretRef": "Secret", "secretKeyRef": "Secret",
            "configMap": "ConfigMap", "configMapRef": "ConfigMap", "configMapKeyRef": "ConfigMap"}
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "imagePullSecrets":
                yield from (("Secret", one["name"]) for one in value)
            elif key in keys and not isinstance(value, list):
                yield keys[key], value if isinstance(value, str) else value["name"]
            else:
                yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


def strings(node):
    if isinstance(node, str):
        yield node
    elif isinstance(node, (dict, list)):
        for value in node.values() if isinstance(node, dict) else node:
            yield from strings(value)


# --- objects --------------------------------------------------------------------------------------


@check
def has_names_that_fit(manifests, values):
    seen = set()
    for manifest in manifests:
        if len(manifest["metadata"]["name"]) > 63:
            yield f"{label(manifest)} is too long"
        if identity(manifest) in seen:
            yield f"{label(manifest)} is there twice"
        seen.add(identity(manifest))
    labelled = [(label(one), one["metadata"].get("labels", {})) for one in manifests]
    labelled += [(name, pod["metadata"]["labels"]) for name, pod in pods(manifests)]
    for name, labels in labelled:
        for key, value in labels.items():
            if not re.fullmatch(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?", str(value)):
                yield f"{name}: the label {key} is no label"
    for job in of_kind(manifests, "Job"):
        if len(f"{job['metadata']['name']}-{job['spec']['completions'] - 1}") > 63:
            yield f"{label(job)}: the host names of its pods are too long"


@check
def selects_its_pods(manifests, values):
    """One workload each: a Service of the gateway must not reach the webhook."""
    templates = {label(one): one["spec"]["template"]["metadata"]["labels"] for one in workloads(manifests)}
    for deployment in of_kind(manifests, "Deployment"):
        if not selects(deployment["spec"]["selector"], templates[label(deployment)]):
            yield f"{label(deployment)} does not select its pods"
    selectors = [(one, {"matchLabels": one["spec"]["selector"]}) for one in of_kind(manifests, "Service")]
    selectors += [(one, one["spec"]["selector"]) for one in of_kind(manifests, "PodDisruptionBudget")]
    selectors += [(one, one["spec"]["podSelector"]) for one in of_kind(manifests, "NetworkPolicy")]
    selectors += [(one, one["spec"]["selector"]) for one in of_kind(manifests, "PodMonitor")
                  if one["spec"]["selector"]]
    selectors += [(one, spread["labelSelector"]) for one in of_kind(manifests, "Deployment")
                  for spread in one["spec"]["template"]["spec"].get("topologySpreadConstraints", [])]
    for manifest, selector in selectors:
        found = [name for name, labels in templates.items() if selects(selector, labels)]
        if len(found) != 1:
            yield f"{label(manifest)} selects {found or 'nothing'}"


@check
def leads_to_ports(manifests, values):
    def pods_of(selector):
        return [one["spec"]["template"] for one in workloads(manifests)
                if selects(selector, one["spec"]["template"]["metadata"]["labels"])]

    services = {one["metadata"]["name"]: one for one in of_kind(manifests, "Service")}
    for service in services.values():
        targets = {port["targetPort"] for port in service["spec"]["ports"]}
        for pod in pods_of({"matchLabels": service["spec"]["selector"]}):
            if not targets <= set(ports(pod)):
                yield f"{label(service)} leads to no port"
        if "admin" in targets and (len(targets) > 1 or service["spec"].get("clusterIP") != "None"):
            yield f"{label(service)} shows the admin port"
    for monitor in of_kind(manifests, "ServiceMonitor"):
        found = [one for one in services.values() if selects(monitor["spec"]["selector"], one["metadata"]["labels"])]
        offered = [{port["name"] for port in one["spec"]["ports"]} for one in found]
        if offered != [{endpoint["port"] for endpoint in monitor["spec"]["endpoints"]}]:
            yield f"{label(monitor)} selects {[label(one) for one in found]}"
    for monitor in of_kind(manifests, "PodMonitor"):
        for pod in pods_of(monitor["spec"]["selector"]) if monitor["spec"]["selector"] else []:
            if not {one["port"] for one in monitor["spec"]["podMetricsEndpoints"]} <= set(ports(pod)):
                yield f"{label(monitor)} reads no port"
    for backend in backends(manifests):
        service = services.get(backend["name"])
        wanted = backend.get("port")
        wanted = wanted.get("name") if isinstance(wanted, dict) else wanted
        offered = [value for port in (service or {"spec": {"ports": []}})["spec"]["ports"]
                   for value in (port["name"], port["port"])]
        if wanted not in offered:
            yield f"a route leads to {backend}, which is not there"


def backends(manifests):
    for ingress in of_kind(manifests, "Ingress"):
        yield from (path["backend"]["service"] for rule in ingress["spec"]["rules"] for path in rule["http"]["paths"])
    for route in of_kind(manifests, "HTTPRoute", "TLSRoute"):
        yield from (backend for rule in route["spec"]["rules"] for backend in rule["backendRefs"])


@check
def lets_through_what_is_needed(manifests, values):
    """S3 and the webhook from their callers; metrics never from everybody."""
    policies = of_kind(manifests, "NetworkPolicy")
    if not values["networkPolicy"]["enabled"]:
        return
    for deployment in of_kind(manifests, "Deployment"):
        template = deployment["spec"]["template"]
        own = [one for one in policies if selects(one["spec"]["podSelector"], template["metadata"]["labels"])]
        opened = {port["port"]: rule.get("from") for one in own
                  for rule in one["spec"]["ingress"] for port in rule["ports"]}
        offered = set(ports(template))
        if not set(opened) <= offered:
            yield f"{label(deployment)}: a policy opens {sorted(set(opened) - offered)}"
        if missing := offered - set(opened) - {"admin"}:
            yield f"{label(deployment)}: nobody reaches {sorted(missing)}"
        if "admin" in opened and not opened["admin"]:
            yield f"{label(deployment)}: everybody reaches the admin port"
        for one in own:
            rules = one["spec"].get("egress", [])
            names = any(port["port"] == 53 for rule in rules for port in rule.get("ports", []))
            if rules and not names:
                yield f"{label(one)}: names cannot be resolved"


@check
def scales_without_a_fixed_number(manifests, values):
    scaled = {(one["spec"]["scaleTargetRef"]["kind"], one["spec"]["scaleTargetRef"]["name"])
              for one in of_kind(manifests, "HorizontalPodAutoscaler")}
    found = {(one["kind"], one["metadata"]["name"]): one for one in of_kind(manifests, "Deployment")}
    for target in scaled:
        if target not in found:
            yield f"what is scaled is not there: {target}"
    for key, deployment in found.items():
        if (key in scaled) == ("replicas" in deployment["spec"]):
            yield f"{label(deployment)} has replicas and an autoscaler, or neither"


@check
def speaks_plain_http_only_where_asked(manifests, values):
    for name, text in configurations(manifests):
        listen = tomllib.loads(text)["listen"]
        is_loopback = listen["address"].startswith("127.0.0.1:")
        if not is_loopback and "tls" not in listen and not values["listen"]["allowPlainHttp"]:
            yield f"{name} answers over plain HTTP"
        if "-sidecar-" in name and not is_loopback:
            yield f"{name} is a sidecar that others reach"


@check
def retries_each_worker(manifests, values):
    for job in of_kind(manifests, "Job"):
        spec, pod = job["spec"], job["spec"]["template"]["spec"]
        arguments = pod["containers"][0]["args"]
        if spec["completionMode"] != "Indexed" or "backoffLimitPerIndex" not in spec or pod["restartPolicy"] != "Never":
            yield f"{label(job)} does not retry its workers one by one"
        shard = f"$(JOB_COMPLETION_INDEX)/{spec['completions']}"
        if spec["completions"] > 1 and shard not in arguments:
            yield f"{label(job)} does not share the work"
        checkpoint = next((one for before, one in zip(arguments, arguments[1:]) if before == "--checkpoint"), None)
        if checkpoint and "$(JOB_COMPLETION_INDEX)" not in checkpoint:
            yield f"{label(job)}: all workers have one checkpoint"
        ended = [rule["onExitCodes"]["values"] for rule in spec["podFailurePolicy"]["rules"] if rule["action"] == "FailJob"]
        if ended != [[64]]:
            yield f"{label(job)} tries again what is wrong for good"


@check
def runs_sidecars_natively(manifests, values):
    for name, profile in profiles(manifests):
        sidecar = profile["initContainers"][-1]
        if sidecar.get("restartPolicy") != "Always" or "startupProbe" not in sidecar:
            yield f"profile {name}: the app does not wait for its sidecar"
        if any("restartPolicy" in one for one in profile["initContainers"][:-1]):
            yield f"profile {name}: the keyring is copied for ever"
        endpoint = [one["value"] for one in profile["env"] if one["name"] == "AWS_ENDPOINT_URL_S3"]
        if not endpoint or not endpoint[0].startswith("http://127.0.0.1:"):
            yield f"profile {name}: the app is not told where S3 is"

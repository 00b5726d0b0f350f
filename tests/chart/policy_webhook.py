"""What must hold for the webhook's configuration and certificate; see policy.py."""
import base64

from cryptography import x509

from harness import identity, label, of_kind
from policy import check


@check
def calls_a_webhook_that_it_trusts(manifests, values):
    services = {identity(one)[1:]: one for one in of_kind(manifests, "Service")}
    secrets = {identity(one)[1:]: one for one in of_kind(manifests, "Secret")}
    certificates = {f"{one['metadata']['namespace']}/{one['metadata']['name']}": one
                    for one in of_kind(manifests, "Certificate")}
    for configuration in of_kind(manifests, "MutatingWebhookConfiguration"):
        name = label(configuration)
        client = configuration["webhooks"][0]["clientConfig"]
        service = services.get((client["service"]["namespace"], client["service"]["name"]))
        if service is None or client["service"]["port"] not in [port["port"] for port in service["spec"]["ports"]]:
            yield f"{name} calls a Service that is not there"
            continue
        host = f"{service['metadata']['name']}.{service['metadata']['namespace']}.svc"
        source = configuration["metadata"].get("annotations", {}).get("cert-manager.io/inject-ca-from")
        if source:
            if host not in certificates.get(source, {"spec": {"dnsNames": []}})["spec"]["dnsNames"]:
                yield f"{name}: {source} is no certificate for {host}"
            continue
        authority = x509.load_pem_x509_certificate(base64.b64decode(client.get("caBundle", "")))
        mounted = [volume["secret"]["secretName"] for one in of_kind(manifests, "Deployment")
                   for volume in one["spec"]["template"]["spec"]["volumes"] if volume["name"] == "webhook-tls"]
        secret = secrets.get((service["metadata"]["namespace"], mounted[0]))
        if secret:
            yield from (f"{name}: {wrong}" for wrong in wrong_certificate(secret["data"], authority, host))


def wrong_certificate(data, authority, host):
    leaf = x509.load_pem_x509_certificate(base64.b64decode(data["tls.crt"]))
    try:
        leaf.verify_directly_issued_by(authority)
    except Exception:  # whatever is wrong, it is not the issuer
        yield "caBundle did not sign the certificate"
    if host not in leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value.get_values_for_type(x509.DNSName):
        yield f"the certificate is not for {host}"


@check
def asks_the_webhook_for_few_pods(manifests, values):
    for configuration in of_kind(manifests, "MutatingWebhookConfiguration"):
        name, webhook = label(configuration), configuration["webhooks"][0]
        excluded = [value for one in webhook["namespaceSelector"]["matchExpressions"]
                    if (one["key"], one["operator"]) == ("kubernetes.io/metadata.name", "NotIn") for value in one["values"]]
        if not {"kube-system", webhook["clientConfig"]["service"]["namespace"]} <= set(excluded):
            yield f"{name} can keep itself or the cluster from starting"
        if not webhook["namespaceSelector"].get("matchLabels") or not webhook.get("matchConditions"):
            yield f"{name} is asked about pods that have nothing to do with it"
        if webhook["failurePolicy"] != values["webhook"]["failurePolicy"] or webhook["sideEffects"] != "None":
            yield f"{name}: what happens without it is not what the values say"
        if webhook["timeoutSeconds"] > 10 or webhook["reinvocationPolicy"] != "IfNeeded":
            yield f"{name} holds pods up, or misses containers that others add"

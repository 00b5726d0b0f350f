"""The sidecar of a chart that depends on this one, as `foreign` does."""
import shutil

import pytest

import harness
import policy
from harness import CHART, configurations, of_kind, validate, values_of
from program import check_config


@pytest.fixture(scope="module")
def foreign(tmp_path_factory):
    """The foreign chart with its dependencies, in a copy: Helm writes them beside it."""
    root = tmp_path_factory.mktemp("repository")
    shutil.copytree(CHART, root / "charts/s3seal")
    chart = root / "tests/chart/foreign"
    shutil.copytree(CHART.parents[1] / "tests/chart/foreign", chart)
    harness.helm("dependency", "build", chart)
    harness.helm("lint", "--strict", chart)
    return chart


@pytest.fixture(scope="module")
def manifests(foreign):
    found = harness.documents(harness.template(chart=foreign).stdout)
    for job in of_kind(found, "CronJob"):
        job["spec"]["template"] = job["spec"]["jobTemplate"]["spec"]["template"]
    return found


@pytest.fixture(scope="module")
def pods(manifests):
    """The pods, as the policies look at them."""
    return [{**one, "kind": "Deployment"} for one in of_kind(manifests, "Deployment", "CronJob")]


def test_kubernetes_takes_it(foreign):
    for manifest in harness.documents(harness.template(chart=foreign).stdout):
        validate(manifest)


def test_both_majors_of_helm_render_the_same(foreign):
    if not harness.HELM3:
        pytest.skip("HELM3 is not set")
    one, other = (harness.documents(harness.template(chart=foreign, program=program).stdout)
                  for program in (harness.HELM, harness.HELM3))
    assert one == other


def test_only_the_configuration_is_made(manifests):
    kinds = sorted(one["kind"] for one in manifests)
    assert kinds == ["ConfigMap"] * 3 + ["CronJob", "Deployment"]


@pytest.mark.parametrize("check", [
    policy.runs_as_another_user_than_root, policy.has_no_privileges, policy.has_a_root_that_is_read_only,
    policy.has_the_seccomp_profile_of_the_runtime, policy.has_limits, policy.has_probes_that_hit_ports,
    policy.listens_on_nothing_else, policy.shares_nothing_with_the_node, policy.has_no_token_of_the_api,
    policy.mounts_what_is_there,
], ids=lambda check: check.__name__)
def test_policies_hold(check, pods):
    assert len(pods) == 2
    assert list(check(pods, values_of(CHART / "ci/default-values.yaml"))) == []


def test_the_app_waits_for_its_sidecar_and_knows_where_it_is(pods):
    addresses = {}
    for pod in pods:
        spec = pod["spec"]["template"]["spec"]
        (sidecar,) = spec["initContainers"]
        assert sidecar["restartPolicy"] == "Always" and sidecar["startupProbe"]
        assert sidecar["ports"][0]["containerPort"] in (9001, 19001)
        env = {one["name"]: one.get("value") for one in spec["containers"][0]["env"]}
        addresses[pod["metadata"]["name"]] = env["AWS_ENDPOINT_URL_S3"]
    assert addresses == {"release-shop": "http://127.0.0.1:9000", "release-shop-archive": "http://127.0.0.1:19000"}


def test_the_pods_find_their_configuration(manifests, pods):
    made = {one["metadata"]["name"] for one in of_kind(manifests, "ConfigMap")}
    for pod in pods:
        wanted = [name for kind, name in policy.references(pod["spec"]["template"]) if kind == "ConfigMap"]
        assert wanted and set(wanted) <= made


def test_s3seal_takes_the_configuration(manifests, etc):
    found = dict(configurations(manifests))
    assert len(found) == 3
    for name, text in found.items():
        assert 'address = "127.0.0.1:' in text
        assert check_config(text, etc) == "", name


def test_a_profile_that_is_not_there_is_named(foreign):
    template = foreign / "templates/other.yaml"
    template.write_text('{{ include "s3seal.sidecar.env" (dict "context" .Subcharts.s3seal "profile" "other") }}')
    try:
        done = harness.template(chart=foreign, check=False)
    finally:
        template.unlink()
    assert 'sidecar.profiles has no "other", there are: default' in done.stderr

"""The chart, rendered with every value file of its `ci` folder by the real Helm.

    HELM=helm HELM3=helm3 S3SEAL_BIN=target/debug/s3seal pytest tests/chart

Without HELM3 nothing is compared, without S3SEAL_BIN no configuration is checked.
"""
import copy
import json
import pathlib
import re
import shutil

import kubernetes_validate
import pytest
import yaml

import broken
import harness
import policy
import policy_webhook  # noqa: F401 (its checks are among those of policy)
import readme
from harness import (CASES, CHART, HELM3, configurations, identity, label, of_kind, profiles, rendered, validate,
                     values_of)
from program import check_config

HERE = pathlib.Path(__file__).parent
REFUSED = sorted((HERE / "refused").glob("*.yaml"))
EVERYTHING = CHART / "ci/everything-values.yaml"

cases = pytest.mark.parametrize("case", CASES, ids=lambda path: path.name.removesuffix("-values.yaml"))


def test_there_are_cases():
    assert len(CASES) >= 20 and len(REFUSED) >= 20


@cases
def test_helm_finds_nothing_to_complain_about(case):
    harness.helm("lint", "--strict", CHART, "-f", case)


@cases
def test_kubernetes_takes_it(case):
    for manifest in rendered(case):
        validate(manifest)


def test_what_kubernetes_does_not_take_is_found():
    manifest = copy.deepcopy(of_kind(rendered(EVERYTHING), "Deployment")[0])
    manifest["spec"]["template"]["spec"]["containers"][0]["port"] = []
    with pytest.raises(kubernetes_validate.ValidationError):
        validate(manifest)


@cases
def test_policies_hold(case):
    manifests, values = rendered(case), values_of(case)
    assert manifests
    assert [wrong for check in policy.CHECKS for wrong in check(manifests, values)] == []


def test_each_policy_can_fail():
    assert set(broken.BROKEN) == {check.__name__ for check in policy.CHECKS}
    values = values_of(EVERYTHING)
    for check in policy.CHECKS:
        for index, damage in enumerate(broken.BROKEN[check.__name__]):
            manifests = copy.deepcopy(rendered(EVERYTHING))
            damage(manifests)
            assert list(check(manifests, values)), f"{check.__name__} does not see damage {index}"


@cases
def test_both_majors_of_helm_render_the_same(case):
    if not HELM3:
        pytest.skip("HELM3 is not set")
    assert without_chance(rendered(case, program=HELM3)) == without_chance(rendered(case))


def without_chance(manifests):
    """Certificates that Helm makes are other ones each time."""
    manifests = copy.deepcopy(manifests)
    for manifest in manifests:
        if manifest["kind"] == "Secret" and manifest["type"] == "kubernetes.io/tls":
            manifest["data"], manifest["metadata"]["annotations"] = sorted(manifest["data"]), {}
        if manifest["kind"] == "MutatingWebhookConfiguration":
            manifest["webhooks"][0]["clientConfig"].pop("caBundle", None)
    return manifests


@pytest.mark.parametrize("case", REFUSED, ids=lambda path: path.stem)
def test_wrong_values_are_refused(case):
    """The first line of the file says with which words."""
    expected = case.read_text().splitlines()[0].removeprefix("# ")
    done = harness.template(case, check=False)
    assert done.returncode != 0
    assert re.search(expected, done.stderr), done.stderr


def test_the_schema_knows_every_value():
    schema = json.loads((CHART / "values.schema.json").read_text())

    def properties(node):
        node = schema["definitions"][node["$ref"].rpartition("/")[2]] if "$ref" in node else node
        return node.get("properties"), node.get("additionalProperties")

    def compare(values, node, path):
        known, others = properties(node)
        if known is None:
            return
        assert others is False, f"{path}: takes what it does not know"
        if path.startswith(("sidecar.profiles.", "listen.settings")) or not values:
            return
        assert set(known) - {"global", "claims", "group"} == set(values) | (set(known) & {"limits", "requests"} - set(values)), path
        for key, value in values.items():
            if isinstance(value, dict):
                compare(value, known[key], f"{path}.{key}".strip("."))

    values = yaml.safe_load((CHART / "values.yaml").read_text())
    for key in ("namespaceSelector", "objectSelector"):
        values["webhook"][key] = {}
    compare(values, schema, "")


def test_the_readme_is_current():
    assert readme.current() == readme.wanted(), "run python3 tests/chart/readme.py"


# --- configurations -------------------------------------------------------------------------------


@cases
def test_s3seal_takes_the_configuration(case, etc):
    for name, text in configurations(rendered(case)):
        assert check_config(text, etc) == "", name


def test_a_configuration_that_s3seal_does_not_take_is_found(etc):
    (_, text), *_ = configurations(rendered(CHART / "ci/default-values.yaml"))
    with pytest.raises(pytest.fail.Exception, match="drain_second"):
        check_config(text.replace("drain_seconds", "drain_second"), etc)


# --- particular things ----------------------------------------------------------------------------


def test_a_profile_is_the_json_of_the_templates():
    """As the contract with `s3seal webhook` has it: numbers for modes, and nothing but three lists."""
    found = dict(profiles(rendered(CHART / "ci/sidecar-profiles-values.yaml")))
    assert set(found) == {"default", "other-port", "keyring", "vault", "whole-config"}
    for profile in found.values():
        assert set(profile) == {"initContainers", "volumes", "env"}
        # a pod of other users without fsGroup: what is not for everybody is for root alone
        modes = [source["defaultMode"] for volume in profile["volumes"]
                 for source in (volume.get("secret"), volume.get("projected")) if source]
        assert set(modes) <= {0o444}
    assert [one["name"] for one in found["keyring"]["initContainers"]] == ["s3seal-copy-keyring", "s3seal"]
    assert found["other-port"]["env"] == [{"name": "AWS_ENDPOINT_URL_S3", "value": "http://127.0.0.1:19000"}]
    assert [one["name"] for one in found["default"]["env"]] == ["AWS_ENDPOINT_URL_S3", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"]


def test_a_changed_configuration_rolls_the_pods(tmp_path):
    changed = tmp_path / "values.yaml"
    changed.write_text("listen:\n  domains: [other.example.test]\nsecrets:\n  values: {app-secret: other}\n")

    def annotations(*files):
        manifests = harness.documents(harness.template(*files).stdout)
        return of_kind(manifests, "Deployment")[0]["spec"]["template"]["metadata"]["annotations"]

    before, after = annotations(CHART / "ci/secret-values-values.yaml"), annotations(changed)
    assert before["checksum/config"] != after["checksum/config"]
    assert before["checksum/secrets"] != after["checksum/secrets"]
    assert "app-secret-0123456789" not in str(before)


def test_another_rewrap_is_another_job():
    rewrap = CHART / "ci/rewrap-values.yaml"
    names = {of_kind(harness.documents(harness.template(rewrap, more=more).stdout), "Job")[0]["metadata"]["name"]
             for more in ([], ["--set", "rewrap.to=default"], ["--set", "rewrap.parallelism=4"])}
    assert len(names) == 2, "how many work at a time can be changed, what they do cannot"


def test_rules_and_dashboards_are_taken_from_files(tmp_path):
    chart = tmp_path / "s3seal"
    shutil.copytree(CHART, chart)
    for folder in ("rules", "dashboards"):
        shutil.rmtree(chart / "files" / folder, ignore_errors=True)
        (chart / "files" / folder).mkdir(parents=True)
    rule = {"alert": "Broken", "expr": "up == 0", "annotations": {"summary": "{{ $labels.pod }} is broken"}}
    for name in ("a", "b"):
        (chart / f"files/rules/{name}.yaml").write_text(yaml.safe_dump({"groups": [{"name": name, "rules": [rule]}]}))
    dashboard = {"title": "S3", "panels": [{"expr": 'rate(x{pod=~"$pod"}[5m])', "legendFormat": "{{pod}}"}]}
    (chart / "files/dashboards/S3_seal.json").write_text(json.dumps(dashboard, indent=2))
    manifests = rendered(CHART / "ci/monitoring-values.yaml", chart=chart)
    (made,) = of_kind(manifests, "PrometheusRule")
    assert made["spec"]["groups"] == [{"name": name, "rules": [rule]} for name in ("a", "b")]
    (shown,) = (one for one in of_kind(manifests, "ConfigMap") if "dashboard" in one["metadata"]["name"])
    assert identity(shown) == ("ConfigMap", "monitoring", "release-s3seal-dashboard-s3-seal")
    assert shown["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert json.loads(shown["data"]["S3_seal.json"]) == dashboard
    (chart / "files/rules/c.yaml").write_text("alerts: []\n")
    done = harness.template(CHART / "ci/monitoring-values.yaml", chart=chart, check=False)
    assert "files/rules/c.yaml has no groups" in done.stderr


def test_names_are_unique_over_all_components():
    manifests = rendered(CHART / "ci/long-names-values.yaml")
    assert len({identity(one) for one in manifests}) == len(manifests)
    assert all(label(one).count("/") == 1 for one in manifests)

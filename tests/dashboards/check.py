"""Checks dashboards, rules, their tests and the runbook against each other and the manual's table of metrics.

Needs no server: what Prometheus makes of the queries is tests/conformance/test_prometheus.py's.
"""
import functools
import itertools
import json
import pathlib
import re
import sys

import yaml

import make
import model

REPO = pathlib.Path(__file__).resolve().parents[2]
RULES = REPO / "charts/s3seal/files/rules"
RUNBOOK = "src/manual/runbook.md"
SEVERITIES = {"critical", "warning"}
PANELS = {"row", "timeseries", "stat", "heatmap"}

# What Prometheus knows of every target.
OF_PROMETHEUS = {"up", "ALERTS"}


def main():
    groups = [group for path in sorted(RULES.glob("*.yaml")) for group in yaml.safe_load(path.read_text())["groups"]]
    rules = [rule for group in groups for rule in group["rules"]]
    names = metrics() | {rule["record"] for rule in rules if "record" in rule}
    dashboards = [json.loads(path.read_text()) for path in sorted(make.TARGET.glob("*.json"))]
    alerts = [rule for rule in rules if "alert" in rule]
    problems = [
        *itertools.chain.from_iterable(dashboard_problems(dashboard, names) for dashboard in dashboards),
        *repeated("uid", [dashboard["uid"] for dashboard in dashboards]),
        *repeated("rule", [rule.get("alert") or rule["record"] for rule in rules]),
        *itertools.chain.from_iterable(query_problems(rule["expr"], names) for rule in rules),
        *itertools.chain.from_iterable(alert_problems(alert) for alert in alerts),
        *runbook_problems({alert["alert"] for alert in alerts}),
        *itertools.chain.from_iterable(test_problems(alert["alert"]) for alert in alerts),
    ]
    for problem in problems:
        print(problem, file=sys.stderr)
    assert len(dashboards) == 4 and len(alerts) > 20, "the files were not found"
    return 1 if problems else 0


def metrics():
    """Names of the series of the manual's table."""
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \|", (REPO / "src/manual/metrics.md").read_text(), re.M)
    assert len(rows) > 20, "the table was not found"
    found = {name for name, kind in rows if kind != "histogram"}
    return found | {name + end for name, kind in rows if kind == "histogram" for end in ("_bucket", "_count", "_sum")}


def repeated(what, values):
    return [f"{what} {value} is there twice" for value in sorted({value for value in values if values.count(value) > 1})]


# --- dashboards ---------------------------------------------------------------------------------


def dashboard_problems(dashboard, names):
    at = dashboard["uid"]
    panels = dashboard["panels"]
    yield from (f"{at}: {problem}" for problem in repeated("panel id", [panel["id"] for panel in panels]))
    yield from (f"{at}: {problem}" for problem in repeated("title", [panel["title"] for panel in panels]))
    if dashboard["schemaVersion"] != model.SCHEMA_VERSION or not re.fullmatch(r"[a-z0-9-]{1,40}", at):
        yield f"{at}: schemaVersion or uid"
    if "datasource" not in [variable["name"] for variable in dashboard["templating"]["list"]]:
        yield f"{at}: no data source to choose"
    for source in re.findall(r'"uid": "([^"]*)"', json.dumps(dashboard)):
        if source not in ("${datasource}", at):
            yield f"{at}: the data source {source} exists in one place only"
    for one, other in itertools.combinations(panels, 2):
        if overlap(one["gridPos"], other["gridPos"]):
            yield f"{at}: {one['title']} and {other['title']} overlap"
    for panel in panels:
        yield from (f"{at}, {panel['title']}: {problem}" for problem in panel_problems(panel, names))
    for annotation in dashboard["annotations"]["list"]:
        yield from query_problems(annotation["expr"], names)
        yield from variable_problems(annotation["expr"])


def overlap(one, other):
    return all(one[at] < other[at] + other[size] and other[at] < one[at] + one[size] for at, size in (("x", "w"), ("y", "h")))


def panel_problems(panel, names):
    place = panel["gridPos"]
    if place["x"] < 0 or place["x"] + place["w"] > model.COLUMNS:
        yield "beyond the grid"
    if panel["type"] not in PANELS:
        yield f"the type {panel['type']}"
    if panel["type"] == "row":
        return
    if len(panel["description"]) < 20:
        yield "no description of what to do"
    steps = panel["fieldConfig"]["defaults"]["thresholds"]["steps"]
    values = [step["value"] for step in steps]
    if values[0] is not None or values[1:] != sorted(values[1:]):
        yield "thresholds that do not rise"
    if not panel["targets"]:
        yield "no query"
    yield from repeated("query", [target["refId"] for target in panel["targets"]])
    for target in panel["targets"]:
        yield from query_problems(target["expr"], names)
        yield from variable_problems(target["expr"])
    for link in panel.get("links", []):
        uid = link["url"].removeprefix("/d/").partition("?")[0]
        if uid not in [dashboard.uid for dashboard in make.DASHBOARDS]:
            yield f"leads to {uid}, which is no dashboard"


def variable_problems(expr):
    """Every selector heeds what was chosen."""
    selectors = re.findall(r"\{([^}]*)\}", expr)
    if not selectors or not all("$namespace" in selector and "$job" in selector for selector in selectors):
        yield f"does not heed the variables: {expr}"


def query_problems(expr, names):
    """Every name that can be one of a metric is one."""
    bare = re.sub(r'"(?:[^"\\]|\\.)*"', '""', expr)
    bare = re.sub(r"\{[^}]*\}|\[[^]]*\]", "", bare)
    bare = re.sub(r"\b(by|on|without|ignoring|group_left|group_right) *\([^)]*\)", "", bare)
    used = set(re.findall(r"[a-zA-Z_:][\w:]*(?! *\()\b", bare)) - {"and", "or", "unless", "bool", "offset"}
    used = {name for name in used if not re.search(rf"\b{re.escape(name)} *\(", bare)}
    if not used:
        yield f"no metric in: {expr}"
    yield from (f"{name} is no metric: {expr}" for name in sorted(used - names - OF_PROMETHEUS))


# --- alerts -------------------------------------------------------------------------------------


def alert_problems(alert):
    name, notes = alert["alert"], alert["annotations"]
    if not re.fullmatch(r"S3Seal[A-Z]\w+", name):
        yield f"{name}: the name"
    if alert["labels"].get("severity") not in SEVERITIES:
        yield f"{name}: the severity"
    for note in ("summary", "description"):
        if len(notes.get(note, "")) < 20:
            yield f"{name}: no {note}"
    if notes.get("runbook_url") != f"{RUNBOOK}#{name.lower()}":
        yield f"{name}: runbook_url"


def runbook_problems(alerts):
    sections = re.split(r"^## ", (REPO / RUNBOOK).read_text(), flags=re.M)[1:]
    texts = {section.partition("\n")[0]: section.partition("\n")[2] for section in sections}
    yield from (f"{RUNBOOK} has no section {alert}" for alert in sorted(alerts - texts.keys()))
    yield from (f"{RUNBOOK}: nobody raises {section}" for section in sorted(texts.keys() - alerts))
    yield from (f"{RUNBOOK}: {section} says nothing" for section, text in texts.items() if len(text) < 100)


@functools.cache
def test_groups():
    paths = sorted((REPO / "tests/prometheus").glob("*.yaml"))
    return [group for path in paths for group in yaml.safe_load(path.read_text())["tests"]]


def test_problems(alert):
    """A case where it fires, and one that comes near."""
    groups = [group for group in test_groups() if alert in re.findall(r"\w+", group["name"])]
    if not any(case["exp_samples"] for group in groups for case in group["promql_expr_test"]):
        yield f"{alert} has no test in which it fires"
    if not any('job="good"' in series["series"] for group in groups for series in group["input_series"]):
        yield f"{alert} has no test in which it does not fire"


if __name__ == "__main__":
    sys.exit(main())

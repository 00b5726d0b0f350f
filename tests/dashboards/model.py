"""Grafana's classic dashboard model, as far as our dashboards need it.

A dashboard is a title, a uid and rows of panels. Places on the grid and ids of panels follow from their order.
"""
import dataclasses
import json

SCHEMA_VERSION = 42
COLUMNS = 24

# Chosen by whoever looks, in each dashboard. `.*` where a label does not exist, as outside of Kubernetes.
SELECTOR = 'namespace=~"$namespace",job=~"$job"'
SOURCE = {"type": "prometheus", "uid": "${datasource}"}

# What the chart's ServiceMonitor asks for. Grafana makes $__rate_interval at least four times as long.
SCRAPED_EVERY = "30s"

GREEN, YELLOW, RED = "green", "yellow", "red"


@dataclasses.dataclass
class Query:
    """One PromQL expression. `selector` and `selector_pod` in braces stand for the variables of the dashboard."""

    expr: str
    legend: str = ""
    instant: bool = False
    heatmap: bool = False

    def render(self, ref):
        expr = self.expr.replace("{selector_pod", "{" + SELECTOR + ',pod=~"$pod"').replace("{selector", "{" + SELECTOR)
        return {
            "datasource": SOURCE,
            "editorMode": "code",
            "expr": expr,
            "format": "heatmap" if self.heatmap else "time_series",
            "instant": self.instant,
            "range": not self.instant,
            "legendFormat": self.legend or "__auto",
            "refId": ref,
        }


@dataclasses.dataclass
class Panel:
    """`description` says what to do. `limits` are (value, colour) pairs above the green that everything begins with."""

    title: str
    description: str
    queries: list
    unit: str = "short"
    kind: str = "timeseries"
    width: int = 8
    height: int = 8
    limits: list = dataclasses.field(default_factory=list)
    base: str = GREEN
    maximum: float | None = None
    stacked: bool = False
    link: str | None = None

    def render(self, number, x, y):
        panel = {
            "id": number,
            "type": self.kind,
            "title": self.title,
            "description": self.description,
            "datasource": SOURCE,
            "interval": SCRAPED_EVERY,
            "gridPos": {"x": x, "y": y, "w": self.width, "h": self.height},
            "targets": [query.render(chr(ord("A") + i)) for i, query in enumerate(self.queries)],
            "fieldConfig": {"defaults": self._field(), "overrides": []},
            "options": OPTIONS[self.kind],
        }
        if self.link:
            panel["links"] = [{"title": "Look closer", "url": f"/d/{self.link}?${{__url_time_range}}&${{__all_variables}}"}]
        return panel

    def _field(self):
        steps = [{"color": self.base, "value": None}]
        steps += [{"color": colour, "value": value} for value, colour in self.limits]
        field = {"unit": self.unit, "min": 0, "thresholds": {"mode": "absolute", "steps": steps}}
        if self.maximum is not None:
            field["max"] = self.maximum
        if self.kind == "timeseries":
            field["custom"] = {
                "lineWidth": 1,
                "fillOpacity": 20 if self.stacked else 8,
                "showPoints": "never",
                "stacking": {"mode": "normal" if self.stacked else "none"},
                "thresholdsStyle": {"mode": "dashed" if self.limits else "off"},
            }
        elif self.kind == "stat":
            del field["min"]
            field["color"] = {"mode": "thresholds"}
            field["noValue"] = "none"
        return field


OPTIONS = {
    "timeseries": {
        "legend": {"displayMode": "table", "placement": "bottom", "calcs": ["lastNotNull", "max"], "showLegend": True},
        "tooltip": {"mode": "multi", "sort": "desc"},
    },
    "stat": {
        "colorMode": "background",
        "graphMode": "area",
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "textMode": "auto",
    },
    "heatmap": {
        "calculate": False,
        "cellGap": 1,
        "color": {"mode": "scheme", "scheme": "Oranges", "steps": 64, "exponent": 0.5},
        "yAxis": {"unit": "s"},
        "tooltip": {"mode": "single", "showColorScale": True},
        "legend": {"show": True},
    },
}


@dataclasses.dataclass
class Row:
    title: str
    panels: list


@dataclasses.dataclass
class Dashboard:
    uid: str
    title: str
    description: str
    rows: list
    per_pod: bool = False

    def render(self):
        return {
            "uid": self.uid,
            "title": self.title,
            "description": self.description,
            "tags": ["s3seal"],
            "schemaVersion": SCHEMA_VERSION,
            "version": 1,
            "editable": True,
            "graphTooltip": 1,
            "timezone": "browser",
            "refresh": "30s",
            "time": {"from": "now-3h", "to": "now"},
            "templating": {"list": variables(self.per_pod)},
            "annotations": {"list": [restarts()]},
            "links": [
                {
                    "title": "s3seal",
                    "type": "dashboards",
                    "tags": ["s3seal"],
                    "asDropdown": False,
                    "includeVars": True,
                    "keepTime": True,
                }
            ],
            "panels": self._panels(),
        }

    def _panels(self):
        panels, y, number = [], 0, 1
        for row in self.rows:
            panels.append(
                {
                    "id": number,
                    "type": "row",
                    "title": row.title,
                    "collapsed": False,
                    "gridPos": {"x": 0, "y": y, "w": COLUMNS, "h": 1},
                    "panels": [],
                }
            )
            number, y, x, tallest = number + 1, y + 1, 0, 0
            for panel in row.panels:
                if x + panel.width > COLUMNS:
                    x, y, tallest = 0, y + tallest, 0
                panels.append(panel.render(number, x, y))
                number, x, tallest = number + 1, x + panel.width, max(tallest, panel.height)
            y += tallest
        return panels

    def text(self):
        return json.dumps(self.render(), indent=2, ensure_ascii=False) + "\n"


def variables(per_pod):
    def labels(name, title, query):
        return {
            "type": "query",
            "name": name,
            "label": title,
            "datasource": SOURCE,
            "query": {"query": query, "refId": name},
            "refresh": 2,
            "includeAll": True,
            "allValue": ".*",
            "multi": True,
            "sort": 1,
            "current": {"selected": True, "text": ["All"], "value": ["$__all"]},
        }

    found = [
        {
            "type": "datasource",
            "name": "datasource",
            "label": "Data source",
            "query": "prometheus",
            "refresh": 1,
            "current": {},
        },
        labels("namespace", "Namespace", "label_values(s3seal_build_info, namespace)"),
        labels("job", "Job", 'label_values(s3seal_build_info{namespace=~"$namespace"}, job)'),
    ]
    if per_pod:
        found.append(labels("pod", "Pod", f"label_values(s3seal_build_info{{{SELECTOR}}}, pod)"))
    return found


def restarts():
    """A line in every panel where a process started."""
    return {
        "name": "Starts",
        "datasource": SOURCE,
        "enable": True,
        "hide": False,
        "iconColor": "blue",
        "expr": f"process_start_time_seconds{{{SELECTOR}}} * 1000 and on (namespace, job, instance) s3seal_build_info",
        "step": "1m",
        "useValueForTime": True,
        "titleFormat": "started",
        "textFormat": "{{instance}}",
    }

"""Rules, alerts and the dashboard against the metrics that exist, and the runbook against them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from service.observability.metrics import (
    LATENCY_BUCKETS,
    AutoscalerMetrics,
    GatewayMetrics,
    ModelMetrics,
    TranslatorMetrics,
)

DEPLOY = Path(__file__).parents[3] / "deploy"
PROMETHEUS = DEPLOY / "prometheus"
RULE_FILES = ("slo.rules.yaml", "alerts.rules.yaml")


def _rules() -> list[dict[str, Any]]:
    return [
        rule
        for name in RULE_FILES
        for group in yaml.safe_load((PROMETHEUS / name).read_text(encoding="utf-8"))["groups"]
        for rule in group["rules"]
    ]


def _alerts() -> list[dict[str, Any]]:
    return [rule for rule in _rules() if "alert" in rule]


def _panels() -> list[dict[str, Any]]:
    panels: list[dict[str, Any]] = json.loads((DEPLOY / "grafana/polyhead.json").read_text())[
        "panels"
    ]
    return panels


def _queries() -> Iterator[str]:
    for rule in _rules():
        yield rule["expr"]
    for panel in _panels():
        for target in panel.get("targets", []):
            yield target["expr"]


def _series() -> dict[str, set[str]]:
    """Every name that a scrape of ours can have, with the names of its labels."""
    registries = (
        GatewayMetrics().registry, TranslatorMetrics().registry, ModelMetrics("model").registry,
        AutoscalerMetrics("Translator-model").registry,
    )  # fmt: skip
    found: dict[str, set[str]] = {}
    for registry in registries:
        for collector in list(registry._collector_to_names):
            labels = set(getattr(collector, "_labelnames", ()))
            for family in collector.collect():
                for sample in family.samples:
                    labels |= set(sample.labels)
                suffixes = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}
                for suffix in suffixes.get(family.type, ("",)):
                    # The hub adds the replica to what is a gauge.
                    found[family.name + suffix] = labels | {"le", "replica"}
    return found


def test_queries_name_metrics_that_exist() -> None:
    series = _series()
    recorded = {rule["record"] for rule in _rules() if "record" in rule}
    used = set()
    for query in _queries():
        used |= set(re.findall(r"\bpolyhead[a-z0-9_:]+", query))
    used -= {name for name in used if name.startswith("polyhead:")} & recorded
    # The value of the label `job`, too, is called polyhead, but has nothing behind it.
    assert used - set(series) == set()
    assert len(used) > 25


def test_selectors_name_labels_that_exist() -> None:
    series = _series()
    for query in _queries():
        for name, selector in re.findall(r"\b(polyhead_[a-z0-9_]+)\{([^}]*)\}", query):
            labels = set(re.findall(r"([a-z_]+)(?:=~|!~|!=|=)", re.sub(r'"[^"]*"', '""', selector)))
            assert labels <= series[name], (name, labels)


def test_thresholds_are_bounds_of_buckets() -> None:
    bounds = {bound for query in _queries() for bound in re.findall(r'le="([^"]+)"', query)}
    assert bounds
    assert bounds <= {repr(bound) for bound in LATENCY_BUCKETS}


@pytest.mark.parametrize("alert", _alerts(), ids=lambda alert: alert["alert"])
def test_every_alert_has_its_paragraph(alert: dict[str, Any]) -> None:
    name = alert["alert"]
    runbook = (DEPLOY / "RUNBOOK.md").read_text(encoding="utf-8")
    assert alert["annotations"]["runbook"] == f"deploy/RUNBOOK.md#{name.lower()}"
    paragraph = runbook.partition(f"\n## {name}\n")[2].partition("\n## ")[0]
    assert len(paragraph.split()) > 30
    assert alert["labels"]["severity"] in ("page", "ticket")


def test_the_runbook_has_no_paragraph_too_many() -> None:
    runbook = (DEPLOY / "RUNBOOK.md").read_text(encoding="utf-8")
    named = set(re.findall(r"^## (Polyhead\w+)$", runbook, flags=re.MULTILINE))
    assert named == {alert["alert"] for alert in _alerts()}


def test_every_alert_is_tried_both_ways() -> None:
    tests = yaml.safe_load((PROMETHEUS / "alerts.test.yaml").read_text(encoding="utf-8"))["tests"]
    tried = {True: set(), False: set()}
    for test in tests:
        for case in test["alert_rule_test"]:
            tried[bool(case["exp_alerts"])].add(case["alertname"])
    names = {alert["alert"] for alert in _alerts()}
    assert tried == {True: names, False: names}


@pytest.mark.parametrize("job_name", ["ray", "haproxy"])
def test_prometheus_keeps_what_is_asked_of_others(job_name: str) -> None:
    config = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text(encoding="utf-8"))
    [job] = [job for job in config["scrape_configs"] if job["job_name"] == job_name]
    [kept] = [one for one in job["metric_relabel_configs"] if one["action"] == "keep"]
    pattern = rf"\b{job_name}_[a-z0-9_]+"
    asked = {name for query in _queries() for name in re.findall(pattern, query)}
    assert asked
    assert {name for name in asked if not re.fullmatch(kept["regex"], name)} == set()


def test_panels_do_not_cover_each_other() -> None:
    panels = _panels()
    assert len({panel["id"] for panel in panels}) == len(panels)
    cells: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        own = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not own & cells
        cells |= own


def test_the_dashboard_has_its_rows() -> None:
    rows = [panel["title"] for panel in _panels() if panel["type"] == "row"]
    assert rows == [
        "Objectives", "Traffic", "Latency", "Queue", "Engine", "Errors",
        "Replicas and autoscaling", "Retries", "Gateway", "Documents", "Ray",
    ]  # fmt: skip

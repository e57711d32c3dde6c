"""Dashboards, rules and monitors name only metrics that exist; every alert has its section in the runbook, its tests
and, but for what only Prometheus knows, its monitor; promtool agrees that each fires on its fault and else rests."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from creditstream.metrics.catalogue import CATALOGUE
from tests.support.kept import files_of
from tests.support.prometheus import promtool

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
RUNBOOK = ROOT / "docs" / "how-to" / "runbook.md"
_SUFFIXES = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_count", "_sum")}
SERIES = {metric.full_name + suffix for metric in CATALOGUE for suffix in _SUFFIXES[metric.kind]}
DATADOG = {metric.datadog_name for metric in CATALOGUE}
#: What Prometheus itself knows about a scrape has no counterpart in what a worker sends.
_ONLY_PROMETHEUS = {"CreditstreamWorkerDown"}


def rules(name: str) -> list[dict[str, Any]]:
    groups = yaml.safe_load((DEPLOY / "prometheus" / name).read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


RECORDED = {rule["record"] for rule in rules("recording.yml")}
ALERTS = {rule["alert"]: rule for rule in rules("alerts.yml")}


def strings(value: Any) -> Iterator[str]:
    """Every text in a JSON or YAML document, keys included."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield from strings(item)
    elif isinstance(value, list):
        for item in value:
            yield from strings(item)
    elif isinstance(value, str):
        yield value


def unknown(text: str) -> set[str]:
    """The names in `text` that nothing measures or records."""
    named = set(re.findall(r"\bcreditstream_[a-z0-9_]+", text)) - SERIES
    recorded = set(re.findall(r"\bcreditstream:[a-z0-9_:]+", text)) - RECORDED
    return named | recorded | (set(re.findall(r"\bcreditstream\.[a-z0-9_]+", text)) - DATADOG)


FILES = sorted(path for path in DEPLOY.rglob("*") if path.parent.name in ("grafana", "datadog", "prometheus"))


@pytest.mark.parametrize("path", FILES, ids=[f"{path.parent.name}/{path.name}" for path in FILES])
def test_files_name_only_metrics_that_exist(path: Path) -> None:
    content = json.loads(path.read_text()) if path.suffix == ".json" else yaml.safe_load(path.read_text())
    texts = list(strings(content))
    allowed = {"creditstream_late", "creditstream_flow"}  # groups of rules
    assert {name for text in texts for name in unknown(text)} <= allowed


def test_the_check_finds_a_metric_that_does_not_exist() -> None:
    text = (
        "creditstream_lag_recods creditstream:lag:max creditstream.lag creditstream_lag_records creditstream_risk_calls"
    )
    assert unknown(text) == {
        "creditstream_lag_recods",
        "creditstream:lag:max",
        "creditstream.lag",
        "creditstream_risk_calls",
    }


def test_every_metric_is_on_both_dashboards() -> None:
    for path, names in (
        (DEPLOY / "grafana" / "creditstream.json", None),
        (DEPLOY / "datadog" / "dashboard.json", DATADOG),
    ):
        text = path.read_text() + (DEPLOY / "prometheus" / "recording.yml").read_text() * (names is None)
        for metric in CATALOGUE:
            wanted = metric.full_name if names is None else metric.datadog_name
            assert re.search(rf"\b{re.escape(wanted)}(_total|_bucket|_sum|_count)?\b", text), f"{wanted} in {path.name}"


def anchors() -> set[str]:
    """Of the runbook's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", RUNBOOK.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_alert_has_its_section_in_the_runbook() -> None:
    for name, rule in ALERTS.items():
        file, _, anchor = rule["annotations"]["runbook_url"].partition("#")
        assert ROOT / file == RUNBOOK and anchor in anchors(), name
        assert rule["labels"]["severity"] in ("page", "ticket"), name
        assert f"`{name}`" in RUNBOOK.read_text(), name


def test_every_alert_was_drilled_and_a_page_says_what_was_seen() -> None:
    drills = (ROOT / "docs" / "measurements" / "alert-drills.md").read_text()
    rows = [line for line in drills.splitlines() if line.startswith("| `Creditstream") and "pending" not in line]
    for name in ALERTS:
        assert [row for row in rows if f"`{name}`" in row and re.search(r"\d (s|min|\|)", row)], name


def test_every_alert_has_a_monitor_with_the_same_section() -> None:
    monitors = {monitor["name"]: monitor for monitor in json.loads((DEPLOY / "datadog" / "monitors.json").read_text())}
    assert set(monitors) == set(ALERTS) - _ONLY_PROMETHEUS
    for name, monitor in monitors.items():
        assert monitor["message"].endswith(ALERTS[name]["annotations"]["runbook_url"]), name


def test_every_alert_is_tested_both_ways() -> None:
    cases = yaml.safe_load((DEPLOY / "prometheus" / "tests.yml").read_text())["tests"]
    fires = {case["alertname"] for test in cases for case in test["alert_rule_test"] if case["exp_alerts"]}
    rests = {case["alertname"] for test in cases for case in test["alert_rule_test"] if not case["exp_alerts"]}
    assert fires == rests == set(ALERTS)


def test_promtool_agrees() -> None:
    folder = DEPLOY / "prometheus"
    reads = files_of(folder)
    promtool("check", "rules", str(folder / "recording.yml"), str(folder / "alerts.yml"), reads=reads)
    promtool("test", "rules", str(folder / "tests.yml"), reads=reads)

"""The dashboard and the alert rules of `deploy/`: each metric and label that they name exists."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import promql_parser as promql
import pytest
import yaml

from sagaledger.infrastructure.telemetry.catalogue import METRICS, sample_names

DEPLOY = Path(__file__).parents[2] / "deploy"
DASHBOARD = json.loads((DEPLOY / "grafana/sagaledger.json").read_text())
RULES = yaml.safe_load((DEPLOY / "prometheus/sagaledger.rules.yml").read_text())
LABELS = {name: {*metric.labels} for metric in METRICS for name in sample_names(metric)}
OF_SCRAPE = {"instance", "job"}
"""Prometheus adds these to every value."""
DURATION = re.compile(r"\d+[smhd]")
TEMPLATE_FUNCTIONS = {"humanizeDuration", "humanizePercentage"}


def panels() -> list[dict[str, Any]]:
    """The panels that show something."""
    return [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]


def shown() -> list[str]:
    """The expressions of the dashboard, with its variables replaced as Grafana does."""
    variables = {"$__rate_interval": "5m", "$definition": ".*"}
    found = []
    for panel in panels():
        for target in panel["targets"]:
            text = target["expr"]
            for name, value in variables.items():
                text = text.replace(name, value)
            found.append(text)
    return found


def alerts() -> list[dict[str, Any]]:
    """The rules."""
    return [rule for group in RULES["groups"] for rule in group["rules"]]


def selectors(expression: Any) -> Iterator[Any]:
    """The selectors of a parsed expression."""
    if isinstance(expression, promql.VectorSelector):
        yield expression
    for part in ("expr", "lhs", "rhs", "vector_selector"):
        if hasattr(expression, part):
            yield from selectors(getattr(expression, part))
    for argument in getattr(expression, "args", ()):
        yield from selectors(argument)


def groupings(expression: Any) -> Iterator[tuple[set[str], Any]]:
    """The labels by which parts of an expression are grouped, each with that part."""
    if isinstance(expression, promql.AggregateExpr) and expression.modifier is not None:
        yield set(expression.modifier.labels), expression.expr
    for part in ("expr", "lhs", "rhs"):
        if hasattr(expression, part):
            yield from groupings(getattr(expression, part))
    for argument in getattr(expression, "args", ()):
        yield from groupings(argument)


@pytest.mark.parametrize("text", [*shown(), *(rule["expr"] for rule in alerts())])
def test_an_expression_names_metrics_and_labels_that_exist(text: str) -> None:
    """By a parser of PromQL."""
    expression = promql.parse(text)

    found = list(selectors(expression))
    assert found
    for selector in found:
        assert selector.name in LABELS, selector.name
        assert {matcher.name for matcher in selector.matchers.matchers} <= LABELS[selector.name]
    for labels, part in groupings(expression):
        for selector in selectors(part):
            buckets = {"le"} if selector.name.endswith("_bucket") else set()
            assert labels <= LABELS[selector.name] | OF_SCRAPE | buckets


def test_the_page_describes_every_metric() -> None:
    """With its type and its labels."""
    page = (DEPLOY.parent / "docs/observability.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \| (counter|gauge|histogram) \| ([\w, ]*)\| (.*) \|$", page, re.MULTILINE)
    total = {"counter": "_total"}

    described = {name: (kind, labels.strip(), what) for name, kind, labels, what in rows}

    assert described == {
        metric.name + total.get(metric.kind, ""): (metric.kind, ", ".join(metric.labels), metric.help)
        for metric in METRICS
    }


def test_the_dashboard_shows_every_metric() -> None:
    """A metric that no panel shows is one that no one on call sees."""
    names = {selector.name for text in shown() for selector in selectors(promql.parse(text))}

    assert [metric.name for metric in METRICS if names.isdisjoint(sample_names(metric))] == []


def test_the_dashboard_can_be_imported() -> None:
    """Panels have ids of their own and do not overlap; what is shown comes from the data source that is chosen."""
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(ids)) == len(ids)
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert taken.isdisjoint(cells), panel["title"]
        assert at["x"] + at["w"] <= 24
        taken |= cells
    variables = {variable["name"] for variable in DASHBOARD["templating"]["list"]}
    assert variables == {"datasource", "definition"}
    for panel in panels():
        assert panel["datasource"]["uid"] == "${datasource}"
        for target in panel["targets"]:
            legend = set(re.findall(r"{{(\w+)}}", target["legendFormat"]))
            names = {selector.name for selector in selectors(promql.parse(_replaced(target["expr"])))}
            assert legend <= OF_SCRAPE.union(*(LABELS[name] for name in names)), panel["title"]


def test_the_rules_are_as_prometheus_takes_them() -> None:
    """Names that are unique, durations, severities, and templates over labels that the expression keeps."""
    rules = alerts()
    assert len({rule["alert"] for rule in rules}) == len(rules)
    for rule in rules:
        assert rule.keys() <= {"alert", "expr", "for", "labels", "annotations"}
        assert re.fullmatch(r"[A-Za-z]+", rule["alert"])
        assert DURATION.fullmatch(rule.get("for", "1m"))
        assert rule["labels"]["severity"] in ("page", "ticket")
        assert rule["annotations"].keys() == {"summary", "description"}
        kept = OF_SCRAPE.union(*(labels for labels, _ in groupings(promql.parse(rule["expr"]))))
        for text in rule["annotations"].values():
            for template in re.findall(r"{{ (.*?) }}", text):
                value, *functions = template.split(" | ")
                assert set(functions) <= TEMPLATE_FUNCTIONS
                assert value == "$value" or value.removeprefix("$labels.") in kept, template


def _replaced(text: str) -> str:
    return text.replace("$__rate_interval", "5m").replace("$definition", ".*")

"""What the alerting rules and the runbooks promise, without Prometheus."""

from __future__ import annotations

import re
import runpy
from pathlib import Path
from typing import Any

import pytest

from deploy.monitoring.dashboards.service_levels import LATE, REQUESTS_FAIL, TASKS_FAIL, TASKS_WAIT
from tests.support.alerts import (
    MONITORING,
    RULES,
    RUNBOOKS,
    alerts,
    cases,
    file_of,
    inhibitions,
    named,
    part_of_matcher,
    recordings,
    severities,
)

ALERTS = alerts()
PAGES = sorted(path for path in RUNBOOKS.glob("*.md") if path.name != "README.md")
HEADINGS = [
    "What it means", "What users notice", "Look", "Likely causes, and what to do", "How you know that it is over",
    "If it fires too often",
]  # fmt: skip


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: f"{rule['alert']}-{rule['labels']['severity']}")
def test_an_alert_says_how_urgent_it_is_what_it_means_and_where_to_go_on(rule: dict[str, Any]) -> None:
    assert rule["labels"].keys() == {"severity"}
    assert rule["labels"]["severity"] in {"page", "ticket"}
    assert rule["annotations"].keys() == {"summary", "description", "runbook_url"}
    assert len(rule["annotations"]["summary"]) < 80, "it is a headline"
    assert file_of(rule["annotations"]["runbook_url"]).stem == rule["alert"]


def test_each_alert_has_a_case_in_which_it_fires_and_one_in_which_it_stays_silent() -> None:
    """Silent before it fires is not enough: a threshold of 0 would be as well."""
    for rule in ALERTS:
        urgency = f"{rule['alert']} as {rule['labels']['severity']}"
        assert any(case.fires(rule) for case in cases()), f"no case of deploy/monitoring/tests fires {urgency}"
        assert any(case.stays_silent(rule) for case in cases()), f"no case in which {urgency} never fires"
    named = {one.asked["alertname"] for case in cases() for one in case.expected}
    assert named == {rule["alert"] for rule in ALERTS}, "cases of alerts that are not there"


def test_all_objectives_are_watched_in_the_same_way() -> None:
    """So that the cases of windows and burn rates, which exist for one of them, hold for all."""
    shapes: dict[str, list[str]] = {}
    for rule in ALERTS:
        if rule["alert"].endswith("BudgetBurn"):
            budget = "0.001" if "Api" in rule["alert"] else "0.01"
            shape = re.sub(r"\w+:taskyard_\w+:", "", rule["expr"])
            shape = re.sub(rf"\* {budget}\b", "* budget", shape)
            shapes.setdefault(rule["labels"]["severity"], []).append(re.sub(r"\s+", " ", shape))
    assert {severity: len(found) for severity, found in shapes.items()} == {"page": 3, "ticket": 3}
    assert all(len(set(found)) == 1 for found in shapes.values()), shapes


def test_the_dashboards_draw_the_objectives_that_the_alerts_watch() -> None:
    drawn = {"Task": TASKS_FAIL, "QueueWait": TASKS_WAIT, "Api": REQUESTS_FAIL}
    for name, objective in drawn.items():
        watched = [rule["expr"] for rule in ALERTS if re.fullmatch(rf"Taskyard{name}(Error)?BudgetBurn", rule["alert"])]
        assert len(watched) == 2
        factors = {float(factor) for expr in watched for factor in re.findall(r"> [\d.]+ \* ([\d.]+)", expr)}
        assert factors == {objective}, name
    late = {
        rule["expr"] for rule in recordings() if rule["record"].startswith("namespace_queue:taskyard_tasks_late:rate")
    }
    assert {le for expr in late for le in re.findall(r'le="([\d.]+)"', expr)} == {LATE}


def test_each_alert_has_its_page_and_each_page_its_alert() -> None:
    assert {path.stem for path in PAGES} == {rule["alert"] for rule in ALERTS}
    listed = set(re.findall(r"^\| \[(\w+)\]\(\1\.md\) \|", (RUNBOOKS / "README.md").read_text("utf-8"), re.MULTILINE))
    assert listed == {path.stem for path in PAGES}, "the index of docs/runbooks/README.md"


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_a_page_is_built_like_the_others_and_short(path: Path) -> None:
    text = path.read_text("utf-8")
    assert text.startswith(f"# {path.stem}\n")
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == HEADINGS
    assert 20 <= len(text.splitlines()) <= 45
    [urgency] = re.findall(r"^Severity: (.+)\.$", text, re.MULTILINE)
    urgencies = {rule["labels"]["severity"] for rule in ALERTS if rule["alert"] == path.stem}
    assert set(re.findall(r"\b(page|ticket)\b", urgency)) == urgencies


@pytest.mark.parametrize("program", ["copies", "runbooks"])
def test_kubernetes_and_the_chart_have_the_same_rules(program: str, tmp_path: Path) -> None:
    found = runpy.run_path(str(MONITORING / "rules.py"))
    if program == "copies":
        for path, text in found["copies"]().items():
            assert path.read_text("utf-8") == text, f"{path.name} differs: run `make monitoring`"
    else:
        (tmp_path / "queues.yml").write_text(RULES[2].read_text("utf-8"))
        found["lead_to"]("https://wiki.example.org/taskyard/", tmp_path)
        urls = re.findall(r"runbook_url: (.+)", (tmp_path / "queues.yml").read_text("utf-8"))
        assert urls
        assert all(re.fullmatch(r"https://wiki\.example\.org/taskyard/Taskyard\w+\.md", url) for url in urls)


def test_what_inhibits_an_alert_is_as_urgent_as_it() -> None:
    """A ticket that silenced a page would let somebody sleep."""
    for rule in inhibitions():
        sources, targets = severities(rule["source_matchers"]), severities(rule["target_matchers"])
        assert sources == {"page"} or "page" not in targets, rule


def test_inhibitions_name_alerts_that_exist_and_none_that_silences_itself() -> None:
    for rule in inhibitions():
        matchers = [*rule["source_matchers"], *rule["target_matchers"]]
        for name in set().union(*map(part_of_matcher, matchers)):
            assert name in {alert["alert"] for alert in ALERTS}, name
        if any(part_of_matcher(matcher) for matcher in rule["target_matchers"]):
            assert named(rule["source_matchers"]).isdisjoint(named(rule["target_matchers"])) or (
                severities(rule["source_matchers"]) != severities(rule["target_matchers"])
            ), rule
        assert "cluster" in rule["equal"], "alerts of two clusters never inhibit each other"

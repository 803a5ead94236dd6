"""The alerting rules of deploy/monitoring, their runbooks, and the cases of their tests."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from .docs import DOCS

MONITORING = DOCS.parent / "deploy/monitoring"
RULES = sorted((MONITORING / "rules").glob("*.yml"))
CASES = sorted((MONITORING / "tests").glob("*.yml"))
RUNBOOKS = DOCS / "runbooks"

_LABEL = re.compile(r'(\w+)="([^"]*)"')


@cache
def alerts() -> list[dict[str, Any]]:
    """Each alerting rule."""
    groups = [group for path in RULES for group in yaml.safe_load(path.read_text("utf-8"))["groups"]]
    return [rule for group in groups for rule in group["rules"] if "alert" in rule]


def expectations() -> Iterator[tuple[str, str, bool]]:
    """What the cases for promtool expect of ALERTS: name, severity and whether it fires. Where it stays silent without
    a word of its severity, the severity is empty."""
    for path in CASES:
        for case in yaml.safe_load(path.read_text("utf-8"))["tests"]:
            for expected in case.get("promql_expr_test", ()):
                asked = dict(_LABEL.findall(expected["expr"]))
                if "alertname" not in asked:
                    continue
                samples = expected.get("exp_samples", ())
                for sample in samples:
                    yield asked["alertname"], dict(_LABEL.findall(sample["labels"]))["severity"], True
                if not samples:
                    yield asked["alertname"], asked.get("severity", ""), False


@cache
def inhibitions() -> list[dict[str, Any]]:
    """Alertmanager's inhibit_rules."""
    return list(yaml.safe_load((MONITORING / "alertmanager.yml").read_text("utf-8"))["inhibit_rules"])


def named(matchers: list[str]) -> set[str]:
    """The alerts that a list of Alertmanager's matchers names: all, where it names none."""
    for matcher in matchers:
        label, _, value = re.split(r"\s*(=~|=)\s*", matcher, maxsplit=1)
        if label == "alertname":
            return {rule["alert"] for rule in alerts() if re.fullmatch(value, rule["alert"])}
    return {rule["alert"] for rule in alerts()}


def severities(matchers: list[str]) -> set[str]:
    """The severities of alerts that a list of Alertmanager's matchers fits."""
    for matcher in matchers:
        if found := re.fullmatch(r"severity\s*=\s*(\w+)", matcher):
            return {found[1]}
    return {rule["labels"]["severity"] for rule in alerts() if rule["alert"] in named(matchers)}


def part_of_matcher(matcher: str) -> set[str]:
    """The names that the alternatives of one matcher spell out, each of which has to be an alert's."""
    found = re.fullmatch(r"alertname\s*=~?\s*(\w+)(?:\(([\w|]+)\))?", matcher)
    if found is None:
        return set()
    return {found[1] + part for part in (found[2] or "").split("|")}


def file_of(url: str) -> Path:
    """The page that a runbook_url leads to."""
    return RUNBOOKS / url.rsplit("/", maxsplit=1)[-1]


def shortened(text: str) -> str:
    """Rules in which each `for`, window, offset and interval lasts a twentieth: an hour becomes three minutes.

    Ages that expressions compare (`time() - … > 120`) stay as they are, so such alerts can't fire in a short run, and
    neither can those that need the history of days. Rates stay rates per second; counts that multiply by the interval
    come out twenty times too large, so that minimum volumes are reached sooner than in earnest.
    """

    def shorten(found: re.Match[str]) -> str:
        before, number, unit, after = found.groups()
        return f"{before}{int(number) * _MILLISECONDS[unit] // 20}ms{after}"

    return re.sub(r"(\[|offset |for: |interval: )(\d+)([smhd])(\]|\b)", shorten, text)


_MILLISECONDS = {"s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}

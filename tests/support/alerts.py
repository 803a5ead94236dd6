"""The alerting rules of deploy/monitoring, their runbooks, and the cases of their tests."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from .docs import DOCS

MONITORING = DOCS.parent / "deploy/monitoring"
RULES = sorted((MONITORING / "rules").glob("*.yml"))
CASES = sorted((MONITORING / "tests").glob("*.yml"))
RUNBOOKS = DOCS / "runbooks"

Labels = dict[str, str]
_LABEL = re.compile(r'(\w+)="([^"]*)"')


@cache
def alerts() -> list[dict[str, Any]]:
    """Each alerting rule."""
    return [rule for rule in _rules() if "alert" in rule]


@cache
def recordings() -> list[dict[str, Any]]:
    """Each recording rule."""
    return [rule for rule in _rules() if "record" in rule]


def _rules() -> list[dict[str, Any]]:
    groups = [group for path in RULES for group in yaml.safe_load(path.read_text("utf-8"))["groups"]]
    return [rule for group in groups for rule in group["rules"]]


@dataclass(frozen=True, slots=True)
class Expected:
    """What a case for promtool expects of ALERTS at one time. `asked`: the labels of its selector; `firing`: of what it
    finds."""

    minutes: float
    asked: Labels
    firing: tuple[Labels, ...]


@dataclass(frozen=True, slots=True)
class Case:
    """A case for promtool: the names and labels of its series, and what it expects of ALERTS."""

    name: str
    series: tuple[tuple[str, Labels], ...]
    expected: tuple[Expected, ...]

    def fires(self, rule: dict[str, Any]) -> list[Labels]:
        return [labels for one in self._of(rule) for labels in one.firing if is_of(labels, rule)]

    def stays_silent(self, rule: dict[str, Any]) -> bool:
        """Whether nothing fires in this case, or one of the alert's series takes no part while others do."""
        fired = self.fires(rule)
        if not fired:
            return bool(self._of(rule))
        first = min(one.minutes for one in self._of(rule) if any(is_of(labels, rule) for labels in one.firing))
        asked = [one.asked for one in self._of(rule) if one.minutes >= first]
        read = metrics_of(rule)
        return any(
            metric in read
            and all(differ(labels, other) for other in fired)
            and any(not differ(labels, selector) for selector in asked)
            for metric, labels in self.series
        )

    def _of(self, rule: dict[str, Any]) -> list[Expected]:
        """Those that would show it."""
        return [one for one in self.expected if one.asked["alertname"] == rule["alert"] and is_of(one.asked, rule)]


def is_of(labels: Labels, rule: dict[str, Any]) -> bool:
    return labels.get("severity") in {None, rule["labels"]["severity"]}


def differ(one: Labels, other: Labels) -> bool:
    return any(one[label] != other[label] for label in one.keys() & other.keys())


def metrics_of(rule: dict[str, Any]) -> set[str]:
    """The metrics that an expression reads, by way of recording rules, too."""
    names = set(re.findall(r"[a-z_:][\w:]*", rule["expr"]))
    for record in recordings():
        if record["record"] in names:
            names |= metrics_of(record)
    return names


@cache
def cases() -> list[Case]:
    """Those of deploy/monitoring/tests."""
    return [
        Case(
            case["name"],
            tuple((one["series"].partition("{")[0], labels_in(one["series"])) for one in case["input_series"]),
            tuple(
                Expected(
                    minutes_of(str(one["eval_time"])),
                    asked,
                    tuple(labels_in(sample["labels"]) for sample in one.get("exp_samples", ())),
                )
                for one in case.get("promql_expr_test", ())
                if "alertname" in (asked := labels_in(one["expr"]))
            ),
        )
        for path in CASES
        for case in yaml.safe_load(path.read_text("utf-8"))["tests"]
    ]


def labels_in(text: str) -> Labels:
    return dict(_LABEL.findall(text))


def minutes_of(duration: str) -> float:
    return sum(int(number) * _MILLISECONDS[unit] / 60_000 for number, unit in re.findall(r"(\d+)([smhd])", duration))


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
    """Rules in which each `for`, window, offset and interval lasts a thirtieth: an hour becomes two minutes.

    Ages that expressions compare (`time() - … > 120`) stay as they are, so such alerts can't fire in a short run, and
    neither can those that need the history of days. Rates stay rates per second; counts that multiply by the interval
    come out thirty times too large, so that minimum volumes are reached sooner than in earnest.
    """

    def shorten(found: re.Match[str]) -> str:
        before, number, unit, after = found.groups()
        return f"{before}{int(number) * _MILLISECONDS[unit] // 30}ms{after}"

    return re.sub(r"(\[|offset |for: |interval: )(\d+)([smhd])(\]|\b)", shorten, text)


_MILLISECONDS = {"s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}

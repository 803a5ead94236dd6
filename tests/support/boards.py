"""The dashboards of Grafana as they are committed, for tests."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from string import Template
from typing import Any

from deploy.monitoring.dashboards import DIRECTORY

BOARDS: dict[str, dict[str, Any]] = {
    path.stem: json.loads(path.read_text("utf-8")) for path in sorted(DIRECTORY.glob("*.json"))
}


@dataclass(frozen=True, slots=True)
class Asked:
    """A query of a panel, with its variables."""

    board: str
    title: str
    legend: str
    promql: str

    @property
    def name(self) -> str:
        return self.title if self.legend == "__auto" else f"{self.title}: {self.legend}"

    def __str__(self) -> str:
        return f"{self.board}: {self.name}: {self.promql}"

    def with_values(self, values: Mapping[str, str]) -> str:
        """As Grafana sends it to Prometheus."""
        return Template(self.promql).substitute(values)


def panels(board: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [panel for panel in board["panels"] if panel["type"] != "row"]


def asked(uid: str) -> Iterator[Asked]:
    for panel in panels(BOARDS[uid]):
        for target in panel["targets"]:
            yield Asked(uid, panel["title"], target["legendFormat"], target["expr"])

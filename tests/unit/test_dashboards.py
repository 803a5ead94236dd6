"""What the dashboards of Grafana promise, as far as it shows without Grafana and Prometheus. Their queries are run in
tests/e2e/test_dashboards.py."""

from __future__ import annotations

import ast
import json
import re
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

from deploy.monitoring.dashboards import DIRECTORY, files
from tests.support.boards import BOARDS, asked, panels

ROOT = Path(__file__).parents[2]
SUFFIXES = re.compile("_(bucket|count|sum)$")
MAKERS = {"counter", "counters", "gauge", "gauges", "histogram", "histograms"}
every_board = pytest.mark.parametrize("board", BOARDS.values(), ids=BOARDS)


def queries(board: dict[str, Any]) -> list[str]:
    return [query.promql for query in asked(board["uid"])]


def metric_names() -> set[str]:
    """Of all metrics that the services make: the first argument wherever one is made."""
    found = {"build_info"}
    for place in (ROOT / "shared/taskyard", ROOT / "services"):
        for path in place.rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                match node:
                    case ast.Call(func=ast.Attribute(attr=maker), args=[ast.Constant(str(name)), *_]) if (
                        maker in MAKERS
                    ):
                        found.add(name)
    return found


def test_the_committed_files_are_what_the_code_makes() -> None:
    committed = {path.name: path.read_text("utf-8") for path in DIRECTORY.glob("*.json")}
    assert committed == files(), "run `make dashboards` and commit what it writes"


@every_board
def test_each_field_is_one_of_grafanas_schema(board: dict[str, Any]) -> None:
    """The models of grafana-foundation-sdk are generated from Grafana's schema, and drop what they do not know."""
    register_default_plugins()
    read = Dashboard.from_json(board)
    assert json.loads(JSONEncoder().encode(read)) == board


def test_a_field_that_grafana_does_not_know_is_found() -> None:
    register_default_plugins()
    board = json.loads(next(iter(files().values())))
    board["panels"][1]["fieldConfig"]["defaults"]["unti"] = "s"
    assert json.loads(JSONEncoder().encode(Dashboard.from_json(board))) != board


@every_board
def test_each_panel_says_its_unit_what_is_normal_and_where_its_data_are_from(board: dict[str, Any]) -> None:
    source = {"type": "prometheus", "uid": "${datasource}"}
    for panel in panels(board):
        title = panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], title
        assert len(panel["description"]) > 40, title
        assert [panel["datasource"], *(target["datasource"] for target in panel["targets"])] == [source] * (
            1 + len(panel["targets"])
        ), title


@every_board
def test_panels_have_ids_and_titles_of_their_own_and_do_not_overlap(board: dict[str, Any]) -> None:
    ids = [panel["id"] for panel in board["panels"]]
    assert len(set(ids)) == len(ids)
    titles = [panel["title"] for panel in panels(board)]
    for one, other in combinations(board["panels"], 2):
        assert not overlap(one["gridPos"], other["gridPos"]), (one["title"], other["title"])
    for panel in board["panels"]:
        assert panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24, panel["title"]
    # Figures may repeat as a graph further down.
    assert max(titles.count(title) for title in titles) <= 2


def overlap(one: dict[str, int], other: dict[str, int]) -> bool:
    return all(
        one[at] < other[at] + other[size] and other[at] < one[at] + one[size] for at, size in (("x", "w"), ("y", "h"))
    )


@every_board
def test_each_line_of_panels_fills_the_width(board: dict[str, Any]) -> None:
    widths: dict[int, int] = {}
    for panel in board["panels"]:
        widths[panel["gridPos"]["y"]] = widths.get(panel["gridPos"]["y"], 0) + panel["gridPos"]["w"]
    assert set(widths.values()) == {24}, widths


@every_board
def test_each_metric_of_a_query_is_one_that_the_services_make(board: dict[str, Any]) -> None:
    named = {name for promql in queries(board) for name in re.findall(r"\btaskyard_(\w+)", promql)}
    known = metric_names()
    assert {name for name in named if name not in known and SUFFIXES.sub("", name) not in known} == set()


def test_each_metric_of_the_services_stands_on_some_dashboard() -> None:
    named = {
        name for board in BOARDS.values() for promql in queries(board) for name in re.findall(r"taskyard_(\w+)", promql)
    }
    assert metric_names() - {SUFFIXES.sub("", name) for name in named} == set()


@every_board
def test_each_query_asks_for_the_chosen_namespaces_only(board: dict[str, Any]) -> None:
    for promql in queries(board):
        selectors = re.findall(r"\{[^{}]*\}", promql)
        assert selectors, promql
        assert all('namespace=~"$namespace"' in selector for selector in selectors), promql


@every_board
def test_links_lead_to_dashboards_that_exist_and_choose_what_these_know(board: dict[str, Any]) -> None:
    text = json.dumps(board)
    for uid, chosen in re.findall(r'"url": "/d/([\w-]+)\?([^"]*)"', text):
        assert uid in BOARDS
        variables = {variable["name"] for variable in BOARDS[uid]["templating"]["list"]}
        wanted = {*re.findall(r"var-(\w+)=", chosen), *re.findall(r"\$\{(\w+):queryparam\}", chosen)}
        assert wanted <= variables, (uid, wanted)
    assert text.count('"url"') == text.count('"url": "/d/taskyard-')
    # And from each to all others, by their tag.
    [others] = board["links"]
    assert set(others["tags"]) <= set(board["tags"])
    assert others["includeVars"]
    assert others["keepTime"]


@every_board
def test_a_link_takes_along_only_labels_that_its_series_have(board: dict[str, Any]) -> None:
    for panel in panels(board):
        wanted = set(re.findall(r"__field\.labels\.(\w+)", json.dumps(panel["fieldConfig"])))
        shown = [set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])) for target in panel["targets"]]
        assert all(wanted <= labels for labels in shown), panel["title"]


@every_board
def test_each_variable_of_a_query_is_one_of_its_dashboard(board: dict[str, Any]) -> None:
    variables = {variable["name"] for variable in board["templating"]["list"]} | {"__rate_interval"}
    used = {name for promql in queries(board) for name in re.findall(r"\$(\w+)", promql)}
    assert used <= variables


def test_grafana_gets_all_of_them_from_files_and_from_kubernetes() -> None:
    assert [board["uid"] for board in BOARDS.values()] == list(BOARDS)
    kustomization: dict[str, Any] = yaml.safe_load((DIRECTORY / "kustomization.yaml").read_text("utf-8"))
    generated = kustomization["configMapGenerator"]
    assert {one["name"]: one["files"] for one in generated} == {uid: [f"{uid}.json"] for uid in BOARDS}
    assert len(BOARDS) == 5


def test_the_page_names_each_dashboard() -> None:
    page = (ROOT / "docs/dashboards.md").read_text("utf-8")
    assert [board["title"] for board in BOARDS.values() if f"| {board['title']} |" not in page] == []

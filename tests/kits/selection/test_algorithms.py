"""Panels: they meet their quotas, whatever the algorithm, and the same seed draws the same one."""

import io
from pathlib import Path
from typing import Any, get_args

import pytest
from sortition_algorithms import core

from taskyard_kits.selection import panel
from taskyard_kits.selection.channel import Channel
from taskyard_kits.selection.declarations import Algorithm, SelectionParams
from taskyard_kits.selection.tables import Table
from tests.kits.selection import pools
from tests.kits.selection.conftest import Draw, Stored
from tests.support.cases import one_in

ALGORITHMS = get_args(Algorithm)
PEOPLE, QUOTAS = pools.people(24), pools.targets(6, 0.3)


@pytest.mark.parametrize("algorithm", one_in(3, ALGORITHMS))
def test_the_panel_meets_its_quotas(draw: Draw, stored: Stored, algorithm: str) -> None:
    run = draw(PEOPLE, QUOTAS, number=6, selection_algorithm=algorithm)
    result = run.result
    panel, remaining = stored(result["selected_item_id"]), stored(result["remaining_item_id"])
    assert pools.unmet(panel, QUOTAS) == []
    assert len(panel) == result["selected_count"] == 6
    assert len(remaining) == result["remaining_count"] == 18
    assert sorted(person["id"] for person in panel + remaining) == [person["id"] for person in PEOPLE]
    for quota in result["quotas"]:
        assert quota["selected"] == sum(person[quota["feature"]] == quota["value"] for person in panel)
    assert result["selection_algorithm"] == algorithm
    percentages = [current for current, _, _ in run.progress]
    assert {total for _, total, _ in run.progress} == {100}
    assert percentages == sorted(percentages), "how far it is never falls"
    assert len(set(percentages)) >= 4, "the stages, and each phase of the draw"
    assert run.progress[-1] == (100, 100, "Done")


def test_maximin_draws_for_leximin_where_there_is_no_gurobi(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (panel, core):
        monkeypatch.setattr(module, "GUROBI_AVAILABLE", False)
    people, quotas = (Table(list(rows[0]), [list(row.values()) for row in rows]) for rows in (PEOPLE, QUOTAS))
    told = io.StringIO()
    leximin = SelectionParams(number_to_select=6, id_column="id", selection_algorithm="leximin")
    maximin = leximin.model_copy(update={"selection_algorithm": "maximin"})
    found = panel.drawn(people, quotas, leximin, 1, Channel(told))
    assert found["algorithm"] == "maximin"
    assert "leximin needs Gurobi" in told.getvalue()
    assert found["selected"] == panel.drawn(people, quotas, maximin, 1, Channel(told))["selected"]


def test_gurobi_reads_the_licence_that_the_worker_is_given(
    draw: Draw, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other draws here have the restricted one that comes with gurobipy."""
    licence = tmp_path / "gurobi.lic"
    licence.write_text("of no machine\n")
    monkeypatch.setenv("GRB_LICENSE_FILE", str(licence))
    fault = draw(PEOPLE, QUOTAS, number=6, selection_algorithm="leximin").fault
    assert fault.code == "draw_failed"
    assert "GurobiError: No HostID specified in license file" in fault.message


# maximin and nash walk over sets of ids: their order, and with it the panel, is another one with another
# PYTHONHASHSEED.
@pytest.mark.parametrize("algorithm", one_in(3, ALGORITHMS))
def test_a_seed_that_was_made_draws_the_same_panel_again(draw: Draw, stored: Stored, algorithm: str) -> None:
    wish: dict[str, Any] = {"number": 6, "selection_algorithm": algorithm}
    first = draw(PEOPLE, QUOTAS, **wish).result
    again = draw(PEOPLE, QUOTAS, **wish, random_seed=first["random_seed"]).result
    assert stored(again["selected_item_id"]) == stored(first["selected_item_id"])


def test_at_most_one_person_of_an_address_is_selected(draw: Draw, stored: Stored) -> None:
    wish: dict[str, Any] = {"check_same_address": True, "check_same_address_columns": ["street", "zip"]}
    result = draw(PEOPLE, QUOTAS, number=6, selection_algorithm="legacy", random_seed=3, **wish).result
    taken = [person["street"] for person in stored(result["selected_item_id"])]
    left = {person["street"] for person in stored(result["remaining_item_id"])}
    assert len(set(taken)) == 6
    assert not left & set(taken), "nobody at an address of the panel can replace a member"
    assert result["remaining_count"] < 18


def test_both_lists_have_the_columns_that_are_to_be_kept_with_the_id_and_the_features(
    draw: Draw, stored: Stored
) -> None:
    result = draw(PEOPLE, QUOTAS, number=6, selection_algorithm="legacy", columns_to_keep=[" Email "]).result
    for item in (result["selected_item_id"], result["remaining_item_id"]):
        assert list(stored(item)[0]) == ["id", "email", *pools.FEATURES]

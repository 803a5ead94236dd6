"""Panels: they meet their quotas, whatever the algorithm, and the same seed draws the same one."""

from typing import Any, get_args

import pytest

from taskyard_kits.selection.declarations import Algorithm
from tests.kits.selection import pools
from tests.kits.selection.conftest import Draw, Stored

ALGORITHMS = get_args(Algorithm)
PEOPLE, QUOTAS = pools.people(24), pools.targets(6, 0.3)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
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
    used = "maximin" if algorithm == "leximin" else algorithm
    assert result["selection_algorithm"] == used
    assert any("needs Gurobi" in line for line in run.logs) == (algorithm == "leximin")
    percentages = [current for current, _, _ in run.progress]
    assert {total for _, total, _ in run.progress} == {100}
    assert percentages == sorted(percentages), "how far it is never falls"
    assert len(set(percentages)) >= 4, "the stages, and each phase of the draw"
    assert run.progress[-1] == (100, 100, "Done")


# maximin and nash walk over sets of ids: their order, and with it the panel, is another one with another PYTHONHASHSEED.
@pytest.mark.parametrize("algorithm", ALGORITHMS)
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

"""Panels: they meet their quotas, whatever the algorithm, and the same seed draws the same one."""

from typing import Any

import pytest

from tests.kits.selection import pools
from tests.kits.selection.conftest import Draw, Stored

ALGORITHMS = ["maximin", "leximin", "nash", "diversimax", "legacy"]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_panel_meets_its_quotas_and_the_same_seed_draws_it_again(
    draw: Draw, stored: Stored, algorithm: str
) -> None:
    people, quotas = pools.people(60), pools.targets(12, 0.15)
    wish: dict[str, Any] = {"number": 12, "selection_algorithm": algorithm, "random_seed": 7}
    run = draw(people, quotas, **wish)
    result = run.result
    panel, remaining = stored(result["selected_item_id"]), stored(result["remaining_item_id"])
    assert pools.unmet(panel, quotas) == []
    assert len(panel) == result["selected_count"] == 12
    assert sorted(p["id"] for p in panel + remaining) == [p["id"] for p in people]
    assert result["random_seed"] == 7
    assert all(q["min"] <= q["selected"] <= q["max"] for q in result["quotas"])
    again = draw(people, quotas, **wish)
    assert stored(again.result["selected_item_id"]) == panel

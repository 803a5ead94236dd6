"""Only the composer changes a task's state, in every process of a running stack."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from tests.support.composed import move_by_hand
from tests.support.fleet import Fleet

pytestmark = pytest.mark.e2e


def test_a_statement_of_another_origin_is_refused_in_the_database_of_a_fleet(fleet: Fleet) -> None:
    with pytest.raises(sa.exc.DBAPIError, match="not composed"):
        move_by_hand(fleet.engine)

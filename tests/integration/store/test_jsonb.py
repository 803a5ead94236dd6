"""PostgreSQL stores and returns every value that `check_storable` accepts."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, Engine

from taskyard.domain.tasks import State
from taskyard.lifecycle import submit
from taskyard.lifecycle.batch import MAX_DEPTH, Unstorable, check_storable
from taskyard.store import ledger
from tests.integration.lifecycle.rows import new

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(st.characters()), inner, max_size=5),
    max_leaves=30,
)


def taken_and_given_back(conn: Connection, value: Any) -> Any:
    """Through `submit`, as parameters; rolled back afterwards."""
    task = new(params={"value": value})
    with conn.begin_nested() as undone:
        assert submit.submit(conn, [task]).answer[0].state is State.QUEUED
        stored = conn.execute(sa.text("SELECT params FROM task WHERE id = :id"), {"id": task.id}).scalar_one()
        undone.rollback()
    return stored["value"]


def same(one: Any, other: Any) -> bool:
    """Equal as JSON: jsonb keeps numbers as decimals, so 1e23 comes back as an integer of 24 digits."""
    match one, other:
        case (float(), int() | float()) if not isinstance(other, bool):
            return one == float(other)
        case list(), list():
            return len(one) == len(other) and all(map(same, one, other))
        case dict(), dict():
            return one.keys() == other.keys() and all(same(v, other[k]) for k, v in one.items())
        case _:
            return type(one) is type(other) and bool(one == other)


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(value=VALUES)
def test_accepted_values_come_back_equal(engine: Engine, value: Any) -> None:
    try:
        check_storable(value)
    except Unstorable:
        return
    with ledger.transaction(engine) as conn:
        assert same(value, taken_and_given_back(conn, value))
        conn.rollback()


@pytest.mark.parametrize(
    "value",
    [1e23, 1.7976931348623157e308, 5e-324, -0.0, 2**64 - 1, -(2**63), "\uffff\ufffe\x01\x7f", {"": {"\x1f": 0}}],
    ids=repr,
)
def test_edge_cases_come_back_equal(engine: Engine, value: Any) -> None:
    check_storable(value)
    with ledger.transaction(engine) as conn:
        assert same(value, taken_and_given_back(conn, value))
        conn.rollback()


def test_the_deepest_nesting_that_passes_is_stored(engine: Engine) -> None:
    value: Any = 1
    for _ in range(MAX_DEPTH - 1):
        value = [value]
    check_storable(value)
    with ledger.transaction(engine) as conn:
        assert taken_and_given_back(conn, value) == value
        conn.rollback()

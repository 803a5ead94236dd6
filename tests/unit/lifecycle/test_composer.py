"""The composer's SQL."""

from __future__ import annotations

from taskyard.domain.tasks import Event
from taskyard.lifecycle.composer import Verb, along, compose


def test_an_expression_that_ends_like_a_column_gets_its_name_and_a_column_needs_none() -> None:
    locks = {"late": "now() - t.late", "kept": "t.kept"}
    text = str(compose(Verb(name="try", edges=along(Event.PROMOTE), locks=locks), []))
    assert "now() - t.late AS late, t.kept\n" in text

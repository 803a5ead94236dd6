"""`chain`, `group` and `chord` make the JSON of `POST /workflows`."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from taskyard_client import chain, chord, group, previous, step, workflow_fields


def needs(fields: dict[str, Any]) -> dict[str, list[str]]:
    return {name: one.get("needs", []) for name, one in fields["steps"].items()}


def test_a_chain_needs_one_after_the_other() -> None:
    fields = workflow_fields(chain(step("a.load"), step("a.clean"), step("a.tell")), name="n", on_failure="continue")
    assert needs(fields) == {"load": [], "clean": ["load"], "tell": ["clean"]}
    assert (fields["name"], fields["on_failure"]) == ("n", "continue")


def test_a_group_needs_nothing_and_steps_of_one_type_are_numbered() -> None:
    fields = workflow_fields(group(step("a.load", {"n": n}) for n in range(3)))
    assert needs(fields) == {"load": [], "load-2": [], "load-3": []}
    assert [one["params"] for one in fields["steps"].values()] == [{"n": 0}, {"n": 1}, {"n": 2}]


def test_a_chord_waits_for_all_of_its_header_and_takes_their_results() -> None:
    last = step("a.sum", {"parts": previous("value")})
    fields = workflow_fields(chord([step("a.one"), step("a.two")], last) | step("a.mail", {"text": previous()}))
    assert needs(fields) == {"one": [], "two": [], "sum": ["one", "two"], "mail": ["sum"]}
    assert fields["steps"]["sum"]["params"] == {"parts": [{"$result": "one.value"}, {"$result": "two.value"}]}
    assert fields["steps"]["mail"]["params"] == {"text": {"$result": "sum"}}


def test_they_nest() -> None:
    inner = chain(step("a.b1", called="b1"), group(step("a.b2", called="b2"), step("a.b3", called="b3")))
    flow = chain(step("a.a", called="a"), group(inner, step("a.c", called="c")), step("a.end", called="end"))
    assert needs(workflow_fields(flow)) == {
        "a": [],
        "b1": ["a"],
        "b2": ["b1"],
        "b3": ["b1"],
        "c": ["a"],
        "end": ["b2", "b3", "c"],
    }


def test_a_step_may_take_the_result_of_any_step_before_and_need_others() -> None:
    first, side = step("a.first"), step("a.side", optional=True, delay_seconds=timedelta(minutes=1))
    last = step("a.last", {"rows": [first.result("rows[0]"), first.result("[1]")]}, needs=[side])
    fields = workflow_fields(group(side, chain(first, step("a.middle"), last)))
    assert fields["steps"]["last"]["needs"] == ["middle", "side"]
    assert fields["steps"]["last"]["params"] == {"rows": [{"$result": "first.rows[0]"}, {"$result": "first[1]"}]}
    assert fields["steps"]["side"] == {"name": "a.side", "params": {}, "delay_seconds": 60.0, "optional": True}


def test_what_is_no_graph_of_steps_is_refused_before_anything_is_sent() -> None:
    twice = step("a.x")
    with pytest.raises(ValueError, match="twice"):
        workflow_fields(chain(twice, twice))
    with pytest.raises(ValueError, match="nothing comes before"):
        workflow_fields(step("a.x", {"v": previous()}))
    with pytest.raises(ValueError, match="not in the workflow"):
        workflow_fields(step("a.x", {"v": step("a.y").result()}))
    with pytest.raises(ValueError, match="called the same"):
        workflow_fields(group(step("a.x", called="n"), step("a.y", called="n")))
    with pytest.raises(ValueError, match="a group of nothing"):
        group([])
    with pytest.raises(TypeError, match="a step has no option 'unique'"):
        step("a.x", unique={"key": "k"})  # type: ignore[call-arg]


def test_previous_is_a_list_behind_a_group_of_one_too() -> None:
    last = step("a.sum", {"parts": previous("value")})
    fields = workflow_fields(chord(group(step("a.one") for _ in range(1)), last))
    assert fields["steps"]["sum"]["params"] == {"parts": [{"$result": "one.value"}]}


def test_a_need_that_is_not_in_the_workflow_is_refused_with_what_to_do() -> None:
    outside = step("a.load", called="load")
    with pytest.raises(ValueError, match="load is needed and not in the workflow: put it into a chain or a group"):
        workflow_fields(chain(step("a.one"), step("a.two", needs=[outside])))

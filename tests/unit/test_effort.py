"""What one request may cost beyond its length is one budget for all of its tasks; little of it is the event loop's."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, cast
from uuid import UUID

import orjson
import pytest

from taskyard.admission import parameters
from taskyard.admission.bodies import SubmitTask
from taskyard.catalogue import effort
from taskyard.catalogue.compiled import CompiledSpec, compile_spec
from taskyard.catalogue.registry import TypeRegistry
from taskyard.catalogue.secrets import Cipher
from taskyard.catalogue.sizes import size_of
from taskyard.lifecycle.submit import NewTask
from taskyard_api import bodies, views
from taskyard_api.admission import Admission
from taskyard_api.alike import Alike
from taskyard_api.auth import Caller
from taskyard_api.bodies import Body
from taskyard_api.heavy import HeavyWork
from taskyard_api.refusals import Invalid
from tests.support.hostile_bodies import costly_pattern
from tests.support.specs import spec_named

PATTERN = {"type": "string", "format": "re2"}


class Looked:
    """How the tasks of one body were looked at."""

    def __init__(self) -> None:
        self.on_loop = self.aside = 0.0
        self.reserved: list[int] = []

    def admit(self, params: Sequence[dict[str, Any]], schema: dict[str, Any]) -> list[NewTask]:
        """Raises Invalid."""
        return asyncio.run(self._admit(params, compile_spec(spec_named(params={"type": "object", **schema}))))

    async def _admit(self, params: Sequence[dict[str, Any]], spec: CompiledSpec) -> list[NewTask]:
        registry = TypeRegistry(_admitting={spec.name: spec})
        types: Any = type("Types", (), {"registry": registry, "fresh": staticmethod(lambda: _answer(registry))})
        admission = Admission(types, Cipher([]), cast(Any, None), cast(Any, None), life=timedelta(hours=1))
        raw = views.encode({"tasks": [{"name": spec.name, "params": one} for one in params]})
        body = Body(None, raw, size_of(raw), UUID(int=1), Measured(self), self._reserve)
        context: Any = type("Context", (), {"request_id": "r", "traceparent": None})
        context.caller = Caller(UUID(int=1), "ci", frozenset({"submit"}))
        wanted = [SubmitTask(name=spec.name, params=one) for one in params]
        began = time.thread_time()
        try:
            return (await admission.admit(wanted, context, body, in_batch=True)).tasks
        finally:
            self.on_loop = time.thread_time() - began

    async def _reserve(self, added: int) -> None:
        self.reserved.append(added)


async def _answer(registry: TypeRegistry) -> TypeRegistry:
    return registry


class Measured(HeavyWork):
    def __init__(self, looked: Looked) -> None:
        super().__init__()
        self._looked = looked

    async def run(self, caller: UUID, work: Any) -> Any:
        def timed() -> Any:
            assert threading.current_thread() is not threading.main_thread()
            began = time.thread_time()
            try:
                return work()
            finally:
                self._looked.aside += time.thread_time() - began

        return await super().run(caller, timed)


def test_costly_patterns_of_a_small_body_leave_the_event_loop() -> None:
    looked = Looked()
    patterns = [{"p": f"a{costly_pattern(n)}"} for n in range(200)]
    assert len(looked.admit(patterns, {"properties": {"p": PATTERN}})) == 200
    assert looked.on_loop < looked.aside / 5


def test_a_usual_submit_does_not_leave_the_event_loop() -> None:
    looked = Looked()
    patterns = [{"p": rf"^\S+ {n}\d{{3}}$"} for n in range(20)]
    assert len(looked.admit(patterns, {"properties": {"p": PATTERN, "n": {"default": 1}}})) == 20
    assert looked.aside == 0


@pytest.mark.parametrize("tasks", [1, 10])
def test_thousands_of_patterns_cost_a_second_and_a_half_at_most_and_are_refused(tasks: int) -> None:
    looked = Looked()
    each = [
        [f"{tasks}b{costly_pattern(n + k * 10_000 // tasks)}" for n in range(10_000 // tasks)] for k in range(tasks)
    ]
    with pytest.raises(Invalid) as caught:
        looked.admit([{"p": one[:7_000]} for one in each], {"properties": {"p": {"items": PATTERN}}})
    assert "together" in caught.value.faults[0].message
    assert looked.aside < 1.5, "three quarters, and a quarter to tell what is wrong; 20 without the bound"


def test_a_pattern_that_occurs_often_counts_once() -> None:
    assert len(Looked().admit([{"p": f"c{costly_pattern(0)}"}] * 1000, {"properties": {"p": PATTERN}})) == 1000


@pytest.mark.parametrize("schema", [{"not": PATTERN}, {"anyOf": [PATTERN, {"type": "string"}]}])
def test_a_pattern_that_was_not_looked_at_makes_nothing_valid(schema: dict[str, Any]) -> None:
    patterns = [f"d{costly_pattern(n)}" for n in range(1_000)]
    with pytest.raises(Invalid):
        Looked().admit([{"q": patterns}], {"properties": {"q": {"items": schema}}})


def test_explaining_faults_leaves_the_event_loop_and_takes_a_second_and_a_half_at_most() -> None:
    looked = Looked()
    fields = {f"f{n}": {"type": "string", "maxLength": 3} for n in range(300)}
    with pytest.raises(Invalid) as caught:
        looked.admit([{f"f{n}": 5 for n in range(300)}] * 1000, {"properties": fields})
    assert len(caught.value.faults) == 100
    assert looked.aside < 1.5
    small = Looked()
    with pytest.raises(Invalid):
        small.admit([{f"f{n}": 5} for n in range(200)], {"properties": fields})
    assert small.on_loop < small.aside


def test_what_defaults_add_to_a_batch_is_bounded_and_finds_room_first() -> None:
    large = {"properties": {"a": {"default": ["x" * 1000] * 50}}}
    looked = Looked()
    with pytest.raises(Invalid) as caught:
        looked.admit([{}] * 1000, large)
    assert caught.value.faults[0].code == "params_too_large"
    assert looked.reserved == [bodies.MAX_ADDED]
    looked = Looked()
    assert len(looked.admit([{}], large)) == 1
    assert not looked.reserved


def test_a_thousand_tasks_with_200_defaults_each_pass() -> None:
    schema = {"properties": {f"p{n}": {"default": n} for n in range(200)}}
    looked = Looked()
    made = looked.admit([{}] * 1000, schema)
    assert {len(task.params) for task in made} == {200}
    assert looked.reserved == [bodies.MAX_ADDED]


def test_checks_of_a_batch_are_bounded_together_where_a_schema_is_costly() -> None:
    costly = {"properties": {"a": {"items": {"multipleOf": 0.01}}}}
    one = {"a": [1.25] * 20_000}
    looked = Looked()
    assert len(looked.admit([one] * 5, costly)) == 5
    with pytest.raises(Invalid) as caught:
        looked.admit([one] * 22, costly)
    assert "send them in parts" in caught.value.faults[0].message
    assert len(looked.admit([{"a": [1.25]}] * 1000, costly)) == 1000


def test_costly_checks_of_a_small_body_leave_the_event_loop() -> None:
    looked = Looked()
    assert looked.admit([{"a": "a" * 10_000}] * 2, {"properties": {"a": {"pattern": "a[ab]{3000}c|a$"}}})
    assert looked.aside > 0


def test_types_that_are_met_for_the_first_time_share_the_effort_on_the_event_loop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    schema = {"type": "object", "properties": {"a": {"pattern": "a[ab]{3000}c|a$"}}}
    specs = [compile_spec(spec_named(f"own.costly_{n}", params=schema)) for n in range(20)]
    served = {spec.name: frozenset({spec.queue}) for spec in specs}
    registry = TypeRegistry(_admitting={spec.name: spec for spec in specs}, _serving=served)
    types: Any = type("Types", (), {"registry": registry})
    admission = Admission(types, Cipher([]), cast(Any, None), cast(Any, None), life=timedelta(hours=1))
    raw = views.encode({"tasks": [{"name": spec.name, "params": {"a": "a" * 1_500}} for spec in specs]})
    body = Body(orjson.loads(raw), raw, size_of(raw), UUID(int=1), HeavyWork(), cast(Any, None))
    assert body.is_small
    context: Any = type("Context", (), {"request_id": "r", "traceparent": None})
    context.caller = Caller(UUID(int=1), "ci", frozenset({"submit"}))
    spent: list[float] = []

    def noted(share: float) -> bool:
        spent.append(share)
        return effort.take_check(share)

    monkeypatch.setattr(parameters, "take_check", noted)
    assert Alike(admission, types, Cipher([])).batch(body, context) is None
    assert sum(spent[:-1]) < 0.1 < sum(spent), "of one task's time at the worst; twenty times as much without the bound"

"""The registry of task types: what workers write, API and scheduler read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any, TypeVar
from uuid import UUID

import pytest
import sqlalchemy as sa
from sqlalchemy import Connection, Engine

from taskyard.catalogue.persons import MARK
from taskyard.catalogue.registry import TypeRegistry
from taskyard.catalogue.spec import TaskSpec
from taskyard.lifecycle import submit
from taskyard.store import ledger, task_types
from taskyard.store.audit import Actor
from tests.support.ledger import new_task
from tests.support.specs import register_worker, spec_named, spec_values

T = TypeVar("T")
LEASE = timedelta(seconds=20)
BY = Actor("worker:w")


class Registry:
    """Workers that register types in a ledger."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def do(self, verb: Callable[[Connection], T]) -> T:
        return ledger.run_transaction(self.engine, verb)

    def execute(self, statement: str, **values: Any) -> None:
        self.do(lambda conn: conn.execute(sa.text(statement), values))

    def rows(self, statement: str) -> Sequence[sa.Row[Any]]:
        return self.do(lambda conn: conn.execute(sa.text(statement)).all())

    def register(self, *specs: TaskSpec, name: str = "w", queues: Sequence[str] = ("default",)) -> UUID:
        return register_worker(self.engine, *specs, name=name, queues=queues)

    def die(self, worker: UUID, *, ago: str = "1 hour") -> None:
        """Without a word: its heartbeats stopped."""
        beat = "UPDATE worker SET beat_at = now() - CAST(:ago AS interval) WHERE id = :id"
        self.execute(beat, id=worker, ago=ago)

    def read(self, known: Any = None) -> task_types.Snapshot:
        return self.do(lambda conn: task_types.read(conn, lease=LEASE, known=known))

    def compiled(self) -> TypeRegistry:
        snapshot = self.read()
        return TypeRegistry.compile(snapshot.specs.values(), snapshot.live)

    def admits(self, name: str) -> int | None:
        """The version that admits."""
        found = self.compiled().admitting(name)
        return found.spec.version if found is not None else None

    def retire(self) -> list[tuple[str, int]]:
        return self.do(lambda conn: task_types.retire(conn, lease=LEASE))

    def forget(self, name: str, version: int | None = None, *, dry_run: bool = False) -> task_types.Forgetting:
        return self.do(lambda conn: task_types.forget(conn, name, version, BY, lease=LEASE, dry_run=dry_run))

    def put(self, name: str, **changes: Any) -> None:
        self.do(lambda conn: submit.submit(conn, [new_task(name, **changes)]))

    def audited(self) -> list[tuple[Any, ...]]:
        return [tuple(row) for row in self.rows("SELECT action, actor, target_id, details FROM audit ORDER BY id")]


@pytest.fixture
def registry(engine: Engine) -> Registry:
    return Registry(engine)


def test_what_a_worker_registers_is_read_back_as_it_was_with_its_queues(registry: Registry) -> None:
    specs = [spec_named("a.one", description="naïve ☃", kit="mail"), spec_named("b.two", queue="selection")]
    registry.register(*specs, queues=["selection", "default"])
    snapshot = registry.read()
    assert snapshot.specs == {spec.digest: spec for spec in specs}
    assert {(live.name, live.version, tuple(live.queues)) for live in snapshot.live} == {
        ("a.one", 1, ("default", "selection")),
        ("b.two", 1, ("default", "selection")),
    }
    assert registry.compiled().queues_serving("b.two") == {"default", "selection"}
    assert registry.rows("SELECT kit FROM task_type ORDER BY name")[0].kit == "mail"
    (row,) = registry.rows("SELECT task_types FROM worker")
    assert row.task_types == ["a.one", "b.two"], "releases before the registry read this column"


def test_the_next_read_fetches_only_what_is_new(registry: Registry) -> None:
    registry.register(spec_named("a.one"), spec_named("b.two"))
    first = registry.read()
    # What a reader knows it does not read: it would not notice this.
    registry.execute("UPDATE task_type SET spec = '{}'")
    registry.register(spec_named("c.three"))
    second = registry.read(first.specs)
    assert sorted(spec.name for spec in second.specs.values()) == ["a.one", "b.two", "c.three"]
    assert all(second.specs[digest] is spec for digest, spec in first.specs.items())


def test_a_spec_that_this_release_refuses_hides_no_other(registry: Registry) -> None:
    registry.register(spec_named("a.one"), spec_named("b.two"))
    registry.execute("UPDATE task_type SET spec = '{\"of\": \"a later release\"}' WHERE name = 'a.one'")
    assert [spec.name for spec in registry.read().specs.values()] == ["b.two"]


def test_the_same_content_again_writes_nothing(registry: Registry) -> None:
    registry.register(spec_named())
    before = registry.rows("SELECT xmin, * FROM task_type")
    registry.register(spec_named(), name="another")
    assert registry.rows("SELECT xmin, * FROM task_type") == before
    assert registry.audited() == []


def test_other_content_of_the_same_version_stands_and_is_audited(registry: Registry) -> None:
    old, new = spec_named(), spec_named(hard_timeout_seconds=700.0)
    registry.register(old)
    registry.register(new, spec_named("b.two"))
    assert registry.read().specs[new.digest].hard_timeout_seconds == 700.0
    (row,) = registry.rows("SELECT changed_at > registered_at AS later FROM task_type WHERE name = 'tests.task'")
    assert row.later
    details = {"version": 1, "before": old.digest, "after": new.digest}
    assert registry.audited() == [("task_type.changed", "worker:w", "tests.task", details)]


def test_of_workers_that_register_other_content_at_the_same_time_each_change_is_audited(registry: Registry) -> None:
    registry.register(spec_named(), spec_named("b.two"))
    specs = [
        [spec_named(name, hard_timeout_seconds=600.0 + n) for name in ("tests.task", "b.two")[:: (-1) ** n]]
        for n in range(1, 9)
    ]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda given: registry.register(*given), specs))
    for name in ("tests.task", "b.two"):
        changes = [row[3] for row in registry.audited() if row[2] == name]
        (row,) = registry.rows(f"SELECT digest FROM task_type WHERE name = '{name}'")
        # Each replaced what another one had written: a chain from the first content to the one that stands.
        digest, followed = spec_named(name).digest, 0
        by_before = {change["before"]: change["after"] for change in changes}
        while digest in by_before:
            digest, followed = by_before[digest], followed + 1
        assert (digest, followed) == (row.digest, 8)


def test_the_types_of_a_worker_that_died_lapse_and_its_specs_stay(registry: Registry) -> None:
    worker = registry.register(spec_named())
    assert registry.compiled().queues_serving("tests.task") == {"default"}
    registry.die(worker)
    assert registry.compiled().queues_serving("tests.task") == set()
    assert registry.admits("tests.task") == 1


@pytest.mark.parametrize("column", ["stopped_at", "lost_at"])
def test_a_worker_that_stopped_or_was_given_up_has_no_types(registry: Registry, column: str) -> None:
    registry.register(spec_named())
    registry.execute(f"UPDATE worker SET {column} = now()")
    assert registry.read().live == []


def test_the_newest_version_that_a_live_worker_runs_admits(registry: Registry) -> None:
    registry.register(spec_named(), name="old")
    newer = registry.register(spec_named(version=2), name="new", queues=["selection"])
    assert registry.admits("tests.task") == 2
    assert registry.compiled().queues_serving("tests.task") == {"selection"}
    registry.die(newer)  # as after a roll-back
    assert registry.admits("tests.task") == 1
    assert registry.compiled().queues_serving("tests.task") == {"default"}


def test_a_worker_whose_kit_was_uninstalled_runs_its_types_no_more_and_their_tasks_wait(registry: Registry) -> None:
    worker = registry.register(spec_named(), spec_named("b.two"))
    registry.put("b.two")
    registry.do(lambda conn: task_types.write_worker(conn, worker, {"tests.task": 1}))
    assert [live.name for live in registry.read().live] == ["tests.task"]
    (row,) = registry.do(lambda conn: task_types.listed(conn, lease=LEASE, name="b.two"))
    assert row["workers"] == []
    assert registry.do(lambda conn: task_types.waiting_tasks(conn, "b.two")) == 1
    assert registry.rows("SELECT state FROM task")[0].state == "queued"


def test_a_worker_that_runs_another_version_says_since_when(registry: Registry) -> None:
    worker = registry.register(spec_named(), spec_named("b.two"))
    registry.execute("UPDATE worker_type SET since = now() - interval '1 hour'")
    registry.do(lambda conn: task_types.write_worker(conn, worker, {"tests.task": 2, "b.two": 1}))
    fresh = registry.rows("SELECT name FROM worker_type WHERE since > now() - interval '1 minute'")
    assert [row.name for row in fresh] == ["tests.task"]


def test_a_type_is_retired_once_no_live_worker_has_had_it_for_30_days(registry: Registry) -> None:
    registry.register(spec_named("a.live"))
    registry.register(spec_named("b.gone"), spec_named("c.lately"), name="gone")
    registry.put("b.gone")
    registry.execute("UPDATE worker SET stopped_at = now() WHERE name = 'gone'")
    registry.execute("UPDATE task_type SET seen_at = now() - interval '31 days' WHERE name <> 'c.lately'")
    registry.execute("UPDATE task_type SET seen_at = now() - interval '29 days' WHERE name = 'c.lately'")
    assert registry.retire() == [("b.gone", 1)]
    assert registry.retire() == []
    assert [registry.admits(name) for name in ("a.live", "b.gone", "c.lately")] == [1, None, 1]
    (row,) = registry.rows("SELECT now() - seen_at < interval '1 minute' AS seen FROM task_type WHERE name = 'a.live'")
    assert row.seen
    assert [task.state for task in registry.rows("SELECT state FROM task")] == ["queued"], "its tasks stay"


def test_a_retired_type_comes_back_with_the_next_worker_that_registers_it(registry: Registry) -> None:
    worker = registry.register(spec_named())
    registry.die(worker)
    registry.execute("UPDATE task_type SET seen_at = now() - interval '31 days'")
    assert registry.retire() == [("tests.task", 1)]
    registry.register(spec_named(), name="again")
    assert registry.admits("tests.task") == 1
    assert registry.retire() == []


def test_a_type_that_a_live_worker_has_is_not_forgotten(registry: Registry) -> None:
    registry.register(spec_named(), name="busy")
    found = registry.forget("tests.task")
    assert (found.is_possible, found.workers) == (False, ["busy"])
    assert registry.admits("tests.task") == 1
    assert registry.audited() == []


def test_forgetting_leaves_the_tasks_says_how_many_wait_and_is_audited(registry: Registry) -> None:
    spec = spec_named()
    registry.die(registry.register(spec, spec_named("b.two")))
    for delay in (None, 60.0):
        registry.put("tests.task", delay_seconds=delay)
    assert registry.forget("tests.task", dry_run=True).waiting == 2
    assert registry.admits("tests.task") == 1
    assert registry.forget("tests.task").waiting == 2
    assert (registry.admits("tests.task"), registry.admits("b.two")) == (None, 1)
    details = {"version": 1, "digest": spec.digest, "waiting_tasks": 2}
    assert registry.audited() == [("task_type.forget", "worker:w", "tests.task", details)]
    assert len(registry.rows("SELECT FROM task")) == 2
    assert not registry.forget("tests.task").is_possible, "there is nothing left"


def test_a_type_that_names_persons_is_not_forgotten_while_the_ledger_has_tasks_of_it(registry: Registry) -> None:
    user_id = {"anyOf": [{"type": "integer", MARK: True}, {"type": "null"}]}
    registry.die(registry.register(spec_named(params={"type": "object", "properties": {"user_id": user_id}})))
    registry.put("tests.task")
    found = registry.forget("tests.task")
    assert (found.is_possible, found.names_persons) == (False, True)
    assert registry.admits("tests.task") == 1
    registry.execute("DELETE FROM task")
    assert registry.forget("tests.task").is_possible


def test_the_version_whose_marks_name_persons_is_not_forgotten_while_tasks_of_another_one_are_found_by_them(
    registry: Registry,
) -> None:
    def marked(**mark: bool) -> dict[str, Any]:
        return {"type": "object", "properties": {"user_id": {"type": "integer", **mark}}}

    registry.die(registry.register(spec_named(params=marked(**{MARK: True}))))
    registry.die(registry.register(spec_named(params=marked(), version=2)))
    registry.put("tests.task", version=2)
    assert registry.forget("tests.task", 1).names_persons
    assert registry.forget("tests.task", 2).is_possible, "the first one marks them"
    registry.die(registry.register(spec_named(params=marked(**{MARK: True}), version=3)))
    assert registry.forget("tests.task", 1).is_possible, "the third one does, too"


def test_a_list_of_persons_keeps_no_type(registry: Registry) -> None:
    """A task with one is about none of them."""
    people = {"type": "array", "items": {"type": "integer", MARK: True}}
    registry.die(registry.register(spec_named(params={"type": "object", "properties": {"people": people}})))
    registry.put("tests.task")
    assert registry.forget("tests.task").is_possible


def test_one_version_can_be_forgotten_while_a_live_worker_runs_another(registry: Registry) -> None:
    registry.die(registry.register(spec_named()))
    registry.register(spec_named(version=2))
    assert not registry.forget("tests.task").is_possible
    assert registry.forget("tests.task", 1).versions == [1]
    assert [row.version for row in registry.rows("SELECT version FROM task_type")] == [2]


def test_rows_of_workers_go_with_them(registry: Registry) -> None:
    worker = registry.register(spec_named())
    registry.execute("DELETE FROM worker WHERE id = :id", id=worker)
    assert registry.rows("SELECT FROM worker_type") == []
    assert registry.admits("tests.task") == 1


def test_a_spec_is_stored_whatever_characters_it_has(registry: Registry) -> None:
    odd = spec_values(
        description="\u2028 \\u0000 😀 \"'%s :name {x}", params={"type": "object", "const": {"ключ": 1e30}}
    )
    spec = TaskSpec.parse(odd)
    registry.register(spec)
    assert registry.read().specs == {spec.digest: spec}

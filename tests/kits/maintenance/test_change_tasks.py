"""maintenance.change_tasks: a change of any number of tasks, in the name of the key that asked for it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa

from taskyard import TaskContext
from taskyard.domain.new_tasks import NewTask
from taskyard.domain.tasks import Failed, RetryIn, State
from taskyard.lifecycle import operations
from taskyard.lifecycle.operations import CHANGE_TASKS
from taskyard.lifecycle.retry import retry_task
from taskyard.lifecycle.submit import submit
from taskyard.running.trial import TaskRun
from taskyard.running.upkeep import Upkeep
from taskyard.store import ledger
from taskyard.store.audit import Actor
from taskyard_kits.maintenance import changes
from tests.integration.lifecycle import rows
from tests.kits.conftest import Run
from tests.kits.maintenance.conftest import SETTINGS, Ledger
from tests.support.ledger import new_task

KEY = Actor("ops", uuid4(), "192.0.2.7", "request-1", "Anna")

Change = Callable[..., TaskRun]


def ask(
    of: Ledger, action: str, queues: Sequence[str] | None = None, as_of: datetime | None = None, **conditions: Any
) -> UUID:
    """As the API does."""
    task = asked_task(action, queues, conditions)
    ledger.run_transaction(of.engine, lambda conn: operations.start(conn, task, by=KEY, as_of=as_of))
    return task.id


def asked_task(action: str, queues: Sequence[str] | None, conditions: dict[str, Any]) -> NewTask:
    task = new_task(CHANGE_TASKS, queue="low_priority", params={"action": action, "filter": conditions})
    task.allowed_queues = None if queues is None else list(queues)
    return task


@pytest.fixture(autouse=True)
def queues(ledger_of_tasks: Ledger) -> None:
    with ledger.transaction(ledger_of_tasks.engine) as conn:
        rows.register(conn, queues=["default", "low_priority"])


@pytest.fixture
def change(ledger_of_tasks: Ledger, run: Run, upkeep: Upkeep) -> Change:
    """Asks for the change, unless it was, and makes it."""

    def call(
        action: str,
        *,
        task_id: UUID | None = None,
        queues: Sequence[str] | None = None,
        per_second: float | None = None,
        **conditions: Any,
    ) -> TaskRun:
        task_id = task_id or ask(ledger_of_tasks, action, queues, **conditions)
        params = {"action": action, "filter": conditions}
        more = {} if per_second is None else {"per_second": per_second}
        return run(CHANGE_TASKS, {**params, **more}, upkeep=upkeep, task_id=task_id, settings=SETTINGS)

    return call


def states(of: Ledger, ids: Sequence[UUID]) -> list[str]:
    found = of.all(f"SELECT state FROM task WHERE id IN ({', '.join(repr(str(i)) for i in ids)}) ORDER BY id")
    return [str(state) for state in found]


def dead(of: Ledger, count: int, **columns: Any) -> list[UUID]:
    return [of.put(State.FAILED, days=0.01, **columns) for _ in range(count)]


def waiting(of: Ledger, count: int, **columns: Any) -> list[UUID]:
    return [of.put(State.QUEUED, days=0.01, **columns) for _ in range(count)]


def audited(of: Ledger) -> list[Any]:
    with ledger.connection(of.engine) as conn:
        return list(conn.execute(sa.text("SELECT * FROM audit ORDER BY id")).all())


def test_more_than_a_batch_is_cancelled_in_the_name_of_the_key(
    ledger_of_tasks: Ledger, change: Change, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(changes, "_AT_ONCE", 3)
    ids, other = waiting(ledger_of_tasks, 7), waiting(ledger_of_tasks, 1, queue="low_priority")
    run = change("cancel", queue="default")
    assert run.result == {"changed": 7, "skipped": 0}
    assert states(ledger_of_tasks, ids) == ["cancelled"] * 7
    assert states(ledger_of_tasks, other) == ["queued"]
    start, *batches = audited(ledger_of_tasks)
    assert (start.action, start.details) == ("operation.start", {"change": "cancel", "filter": {"queue": "default"}})
    assert [row.details["changed"] for row in batches] == [3, 3, 1]
    for row in batches:
        assert (row.action, row.target_id) == ("tasks.cancel", start.target_id)
        who = (row.actor, row.api_key_id, row.address, row.request_id, row.on_behalf_of)
        assert who == ("ops", KEY.api_key_id, "192.0.2.7", "request-1", "Anna")


def test_it_never_cancels_itself(ledger_of_tasks: Ledger, change: Change) -> None:
    ids = waiting(ledger_of_tasks, 2, queue="low_priority")
    task_id = ask(ledger_of_tasks, "cancel", queue="low_priority")
    ledger_of_tasks.do("UPDATE task SET created_at = created_at - interval '1 s' WHERE id = ANY(:ids)", ids=ids)
    assert change("cancel", task_id=task_id, queue="low_priority").result["changed"] == 2
    assert states(ledger_of_tasks, [task_id]) == ["queued"]


@pytest.mark.parametrize("action", ["retry", "discard", "restore"])
def test_dead_letters_are_changed_in_the_queues_of_the_key_alone(
    ledger_of_tasks: Ledger, change: Change, action: str
) -> None:
    put_away = {"discarded_at": sa.func.now()} if action == "restore" else {}
    mine = dead(ledger_of_tasks, 2, queue="low_priority", **put_away)
    others = dead(ledger_of_tasks, 2, **put_away)
    run = change(action, queues=["low_priority"], name="email.send", per_second=50.0)
    assert run.result == {"changed": 2, "skipped": 0}
    assert states(ledger_of_tasks, mine) == [{"retry": "scheduled"}.get(action, "failed")] * 2
    assert states(ledger_of_tasks, others) == ["failed"] * 2
    assert audited(ledger_of_tasks)[1].action == f"dead_letters.{action}"
    assert set(audited(ledger_of_tasks)[1].details["ids"]) == {str(i) for i in mine}


def test_what_fails_or_is_submitted_after_it_was_asked_for_stays(ledger_of_tasks: Ledger, change: Change) -> None:
    old = dead(ledger_of_tasks, 1)
    retry = ask(ledger_of_tasks, "retry", code="smtp_refused")
    (late,) = dead(ledger_of_tasks, 1)
    ledger_of_tasks.do("UPDATE task SET finished_at = now() WHERE id = :id", id=late)
    assert change("retry", task_id=retry, code="smtp_refused", per_second=50.0).result["changed"] == 1
    assert states(ledger_of_tasks, [*old, late]) == ["scheduled", "failed"]
    cancel = ask(ledger_of_tasks, "cancel", queue="default")
    (new,) = waiting(ledger_of_tasks, 1)
    ledger_of_tasks.do("UPDATE task SET created_at = now() WHERE id = :id", id=new)
    change("cancel", task_id=cancel, queue="default")
    assert states(ledger_of_tasks, [new]) == ["queued"]


def test_what_comes_to_fit_after_the_preview_stays(ledger_of_tasks: Ledger, change: Change) -> None:
    seen = datetime.now(UTC) - timedelta(minutes=5)
    shown, late = dead(ledger_of_tasks, 2)
    ledger_of_tasks.do("UPDATE task SET finished_at = now() - interval '1 minute' WHERE id = :id", id=late)
    retry = ask(ledger_of_tasks, "retry", as_of=seen, code="smtp_refused")
    assert change("retry", task_id=retry, code="smtp_refused", per_second=50.0).result["changed"] == 1
    assert (states(ledger_of_tasks, [shown]), states(ledger_of_tasks, [late])) == (["scheduled"], ["failed"])
    waits, new = waiting(ledger_of_tasks, 2)
    ledger_of_tasks.do("UPDATE task SET created_at = now() - interval '1 minute' WHERE id = :id", id=new)
    cancel = ask(ledger_of_tasks, "cancel", as_of=seen, queue="default", state=["queued"])
    change("cancel", task_id=cancel, queue="default", state=["queued"])
    assert (states(ledger_of_tasks, [waits]), states(ledger_of_tasks, [new])) == (["cancelled"], ["queued"])


def test_an_operation_is_undone_for_its_own_tasks_alone(ledger_of_tasks: Ledger, change: Change) -> None:
    due = {"due_at": datetime.now(UTC) + timedelta(days=7)}
    planned = ledger_of_tasks.put(State.SCHEDULED, days=1, **due)
    mine, again = dead(ledger_of_tasks, 2)
    retry = ask(ledger_of_tasks, "retry", code="smtp_refused")
    assert change("retry", task_id=retry, code="smtp_refused", per_second=50.0).result["changed"] == 2
    # One has failed once more, and a person retries it.
    ledger_of_tasks.do("UPDATE task SET state = 'failed', due_at = NULL, finished_at = now() WHERE id = :id", id=again)
    ledger.run_transaction(ledger_of_tasks.engine, lambda conn: retry_task(conn, again, by=KEY, life=timedelta(days=1)))
    undone = change("cancel", operation_id=str(retry), state=["scheduled", "queued"])
    assert undone.result["changed"] == 1
    assert [states(ledger_of_tasks, [i]) for i in (mine, again, planned)] == [["cancelled"], ["queued"], ["scheduled"]]


def test_cancelled_tasks_run_again_but_no_steps_and_none_that_somebody_else_cancelled(
    ledger_of_tasks: Ledger, change: Change
) -> None:
    mine = waiting(ledger_of_tasks, 2)
    step = waiting(ledger_of_tasks, 1, workflow_id=uuid4())
    others = [ledger_of_tasks.put(State.CANCELLED, days=1) for _ in range(2)]
    cancel = ask(ledger_of_tasks, "cancel", queue="default", state=["queued"])
    assert change("cancel", task_id=cancel, queue="default", state=["queued"]).result["changed"] == 3
    undone = change("retry", operation_id=str(cancel), state=["cancelled"], per_second=50.0)
    assert undone.result["changed"] == 2
    assert states(ledger_of_tasks, mine) == ["scheduled"] * 2
    assert states(ledger_of_tasks, [*step, *others]) == ["cancelled"] * 3
    assert audited(ledger_of_tasks)[-1].action == "tasks.retry"
    assert change("retry", queue="default", state=["cancelled"], per_second=50.0).result["changed"] == 2
    assert states(ledger_of_tasks, step) == ["cancelled"]
    assert states(ledger_of_tasks, others) == ["scheduled"] * 2


def test_discarding_and_restoring_are_undone_for_their_own_tasks_alone(ledger_of_tasks: Ledger, change: Change) -> None:
    before = dead(ledger_of_tasks, 1, discarded_at=sa.func.now())
    mine, other = dead(ledger_of_tasks, 2), dead(ledger_of_tasks, 1, queue="low_priority")
    discard = ask(ledger_of_tasks, "discard", queue="default")
    assert change("discard", task_id=discard, queue="default").result["changed"] == 2
    restore = ask(ledger_of_tasks, "restore", operation_id=str(discard))
    assert change("restore", task_id=restore, operation_id=str(discard)).result["changed"] == 2
    gone = "SELECT id FROM task WHERE discarded_at IS NOT NULL"
    assert ledger_of_tasks.all(gone) == before
    assert change("discard", operation_id=str(restore)).result["changed"] == 2
    assert set(ledger_of_tasks.all(gone)) == {*before, *mine}
    assert states(ledger_of_tasks, other) == ["failed"]


def test_an_attempt_after_a_crash_changes_the_rest_and_counts_what_was_changed(
    ledger_of_tasks: Ledger, change: Change, upkeep: Upkeep
) -> None:
    dead(ledger_of_tasks, 5)
    task_id = ask(ledger_of_tasks, "discard", name="email.send")
    operation = upkeep.operation(task_id, operations.Kind.DISCARD, {"name": "email.send"})
    assert operation is not None
    assert upkeep.change_tasks(operation, behind=None, per_second=None, limit=2).changed == 2
    run = change("discard", task_id=task_id, name="email.send")
    assert run.result == {"changed": 5, "skipped": 0}
    assert run.progress[-1][:2] == (5, 5)
    assert change("discard", task_id=task_id, name="email.send").result == {"changed": 5, "skipped": 0}
    assert len(audited(ledger_of_tasks)) == 3


def test_the_rate_is_held(ledger_of_tasks: Ledger, change: Change) -> None:
    dead(ledger_of_tasks, 5)
    began = time.monotonic()
    assert change("discard", name="email.send", per_second=2.0).result["changed"] == 5
    assert time.monotonic() - began >= 2, "two, two and one"


def test_whoever_submits_the_task_directly_changes_nothing(ledger_of_tasks: Ledger, change: Change) -> None:
    (task,) = waiting(ledger_of_tasks, 1)
    own = asked_task("cancel", None, {"queue": "default"})
    ledger.run_transaction(ledger_of_tasks.engine, lambda conn: submit(conn, [own]))
    for task_id in (own.id, uuid4()):
        outcome = change("cancel", task_id=task_id, queue="default").outcome
        assert isinstance(outcome, Failed)
        assert outcome.fault.code == "operation_not_asked"
    # Nor one that names another change than was asked for.
    outcome = change("discard", task_id=ask(ledger_of_tasks, "cancel", queue="default"), name="email.send").outcome
    assert isinstance(outcome, Failed)
    assert states(ledger_of_tasks, [task]) == ["queued"]


def test_an_id_that_is_used_again_changes_nothing(ledger_of_tasks: Ledger, change: Change) -> None:
    task_id = ask(ledger_of_tasks, "cancel", queue="default")
    ledger_of_tasks.do("DELETE FROM task WHERE id = :id", id=task_id)
    ledger_of_tasks.put(State.QUEUED, id=task_id, name=CHANGE_TASKS)
    outcome = change("cancel", task_id=task_id, queue="default").outcome
    assert isinstance(outcome, Failed)


def test_where_its_time_is_nearly_over_the_next_attempt_goes_on(
    ledger_of_tasks: Ledger, change: Change, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TaskContext, "seconds_left", 30.0)
    outcome = change("cancel", queue="default").outcome
    assert isinstance(outcome, RetryIn)
    assert outcome.fault.code == "operation_goes_on"

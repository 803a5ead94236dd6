"""What follows from a move is what the table of consequences says of its edge, on real rows, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from sqlalchemy import Connection

from taskyard.domain.tasks import TRANSITIONS, Edge, Event, State
from taskyard.lifecycle import steps
from taskyard.lifecycle.composer import Consequence, Verb, along, compose, into, out_of
from taskyard.lifecycle.consequences import CONSEQUENCES
from tests.support.docs import DOCS

from .moves import MOVES, move, prepare, submits
from .rows import Worker, attempts, events, key_holders, outbox, read

EDGES = list(TRANSITIONS)
_NEW = SimpleNamespace(publication=0, due_at=None, claim=None, finished_at=None, put_offs=0, limited=None)


@dataclass
class Seen:
    """A task before and after one move, and what the ledger holds of it besides its row."""

    conn: Connection
    task_id: UUID
    before: Any
    notes: int

    @property
    def after(self) -> Any:
        return read(self.conn, self.task_id)

    def is_marked(self) -> bool:
        return "task:k" in self.conn.scalars(sa.text("SELECT key FROM limit_mark")).all()

    def has_progress(self) -> bool:
        found = sa.text("SELECT count(*) FROM task_progress WHERE task_id = :id")
        return bool(self.conn.execute(found, {"id": self.task_id}).scalar())


def deliveries(conn: Connection, task_id: UUID) -> list[str]:
    """What is to be told of the task."""
    found = sa.text(
        "SELECT params #>> '{payload,type}' FROM task WHERE name = 'webhooks.deliver' AND state = 'scheduled'"
        " AND due_at <= now() AND params #>> '{payload,data,id}' = :id"
    )
    return list(conn.scalars(found, {"id": str(task_id)}))


# Whether each consequence has happened, seen from outside.
HAPPENED: Mapping[str, Callable[[Seen], bool]] = {
    "enters_queue": lambda s: s.after.publication == s.before.publication + 1 and s.after.queued_at is not None,
    "gets_due_time": lambda s: (
        s.before.due_at is None and s.after.due_at is not None and s.after.run_at == s.after.due_at
    ),
    "loses_due_time": lambda s: s.before.due_at is not None and s.after.due_at is None,
    "loses_claim": lambda s: s.before.claim is not None and (s.after.claim, s.after.worker_id) == (None, None),
    "ends": lambda s: s.before.finished_at is None and s.after.finished_at is not None,
    "starts_afresh": lambda s: s.before.put_offs == 1 and s.after.put_offs == 0 and not s.has_progress(),
    "attempt_rows": lambda s: len(attempts(s.conn, s.task_id)) == 1,
    "timeline_rows": lambda s: len(events(s.conn, s.task_id)) == s.notes + 1,
    "callback_task": lambda s: deliveries(s.conn, s.task_id) == [f"task.{s.after.state}"],
    "waits_for_limit": lambda s: s.after.limited == "waiting" != s.before.limited,
    "key_marks": lambda s: s.after.limited == "waiting" and s.is_marked(),
    "counts_against_limit": lambda s: s.after.limited == "granted" and s.before.limited is None,
    "frees_limit": lambda s: s.after.limited == "freed" and s.is_marked(),
    "outbox_row": lambda s: {s.task_id} in outbox(s.conn).values(),
}
# Of tasks that something limits.
OF_LIMITED = {Event.HOLD_BACK, Event.GRANT}
KEYS = {"freed_waiting_keys", "freed_keys"}
# Of steps only, which test_workflows.py walks.
OF_STEPS = {c.name for c in steps.CONSEQUENCES}


def test_every_consequence_is_looked_for_below() -> None:
    assert {c.name for c in CONSEQUENCES} == {*HAPPENED, *KEYS, *OF_STEPS}


@pytest.mark.parametrize("edge", EDGES, ids=lambda edge: f"{edge[0] or 'new'}-{edge[1]}")
def test_along_each_edge_happens_what_the_table_says_and_nothing_else(
    conn: Connection, worker: Worker, edge: Edge
) -> None:
    task_id = prepare(conn, worker, edge, hold="active")
    before = _NEW if edge[0] is None else read(conn, task_id)
    seen = Seen(conn, task_id, before, len(events(conn, task_id)))
    move(worker, edge, task_id)
    assert seen.after.state == TRANSITIONS[edge]
    happened = {name for name, has in HAPPENED.items() if has(seen)}
    unseen = {*KEYS, *OF_STEPS, *({"outbox_row"} if seen.after.limited == "waiting" else ())}
    assert happened == {c.name for c in CONSEQUENCES if edge in c.edges} - unseen


@pytest.mark.parametrize("edge", [e for e in EDGES if e[1] not in OF_LIMITED], ids=lambda e: f"{e[0] or 'new'}-{e[1]}")
def test_what_nothing_limits_is_published_at_once_and_marks_nothing(
    conn: Connection, worker: Worker, edge: Edge
) -> None:
    task_id = prepare(conn, worker, edge, hold="active", has_limit=False)
    if edge[1] is Event.SUBMIT:
        submits(worker, task_id, limits=None)
    else:
        move(worker, edge, task_id)
    seen = Seen(conn, task_id, _NEW, 0)
    assert (seen.after.limited, seen.is_marked()) == (None, False)
    enters = "enters_queue" in {c.name for c in CONSEQUENCES if edge in c.edges}
    assert HAPPENED["outbox_row"](seen) == enters


@pytest.mark.parametrize("hold", ["waiting", "active"])
@pytest.mark.parametrize("edge", [e for e in EDGES if e[0]], ids=lambda edge: f"{edge[0]}-{edge[1]}")
def test_along_each_edge_keys_are_freed_as_the_table_says(
    conn: Connection, worker: Worker, edge: Edge, hold: str
) -> None:
    task_id = prepare(conn, worker, edge, hold=hold)
    move(worker, edge, task_id)
    follows = {c.name for c in CONSEQUENCES if edge in c.edges}
    is_freed = "freed_keys" in follows or (hold == "waiting" and "freed_waiting_keys" in follows)
    assert (str(task_id) not in key_holders(conn)) == is_freed


def test_every_event_of_the_table_is_walked() -> None:
    assert set(MOVES) == set(Event)


def table() -> str:
    """The transition table with what follows along each edge, as Markdown: for docs/architecture.md."""
    rows = ["| from | event | to | what follows |", "| --- | --- | --- | --- |"]
    for (state, event), to in TRANSITIONS.items():
        follows = ", ".join(f"`{c.name}`" for c in CONSEQUENCES if (state, event) in c.edges)
        rows.append(f"| {state or '(new)'} | `{event}` | {to} | {follows} |")
    return "\n".join(rows)


def test_the_documents_show_the_table_as_it_is() -> None:
    assert table() in (DOCS / "architecture.md").read_text("utf-8")


def made_up(**more: Any) -> Consequence:
    return Consequence(name="made_up", edges=into(State.FAILED), **more)


def test_a_consequence_that_a_verb_leaves_open_is_refused_when_the_statement_is_composed() -> None:
    consequences = [made_up(needs={"color": None})]
    with pytest.raises(ValueError, match="expire: made_up needs color"):
        compose(Verb(name="expire", edges=along(Event.EXPIRE)), consequences)


def test_two_consequences_of_one_edge_never_assign_the_same_column() -> None:
    consequences = [made_up(columns={"result": "NULL"}), made_up(columns={"result": "'1'"})]
    with pytest.raises(ValueError, match="assigns result a second time"):
        compose(Verb(name="expire", edges=along(Event.EXPIRE)), consequences)


def test_a_move_that_is_not_in_the_table_does_not_happen(conn: Connection, worker: Worker) -> None:
    """A verb that calls an event which its edges don't know leaves the row alone."""
    task_id = prepare(conn, worker, (State.QUEUED, Event.CANCEL), hold="active")
    before = read(conn, task_id)
    edges = along(Event.CANCEL, Event.EXPIRE, out_of={State.QUEUED})
    verb = Verb(name="wrong", edges=edges, event="'succeed'", where="t.id = :id")
    conn.execute(compose(verb, CONSEQUENCES), {"id": task_id})
    assert read(conn, task_id) == before


def test_entering_and_leaving_a_state_are_the_edges_that_change_it() -> None:
    assert (State.RUNNING, Event.REQUEST_CANCEL) not in into(State.RUNNING) | out_of(State.RUNNING)
    assert (None, Event.SUBMIT) in into(State.QUEUED)
    assert (State.FAILED, Event.DISCARD) not in out_of(State.FAILED)

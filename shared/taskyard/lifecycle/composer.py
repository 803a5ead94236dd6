# ruff: noqa: S608 - statements are put together from constants of this package; every value is bound
"""The composer: a verb and the transition table -> the one statement that moves tasks.

A verb says which rows it locks, which event each of them meets, and which columns it changes. The composer adds what
the table knows: the guard (only states in which the event means something), the new state, and the consequences that
`consequences.py` assigns to the edges. Every statement has the same shape:

    WITH [what the verb was given],
         locked   AS (SELECT ... FROM task t WHERE guard AND ... ORDER BY t.id FOR UPDATE),
         moving   AS (SELECT *, event FROM locked),
         moved    AS (UPDATE ... SET state, ... FROM moving l WHERE t.id = l.id RETURNING ...),
         [one data-modifying step a consequence, over `moved`]
    SELECT ... FROM moved m ORDER BY m.id

States are literals, so that the planner can match partial indexes. Statements are put together once, at import.

Every column that a table constraint ties to the state (claim, due_at, finished_at) is assigned from the locked row:
PostgreSQL first tries an UPDATE on the row as the statement's snapshot has it, and a statement that waited for a lock
would mix the old columns with the new state.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import sqlalchemy as sa

from ..domain.tasks import TRANSITIONS, Edge, Event, State

# What `lifecycle.committed` reads of each task that moved, followed by `event` and `outbox_id`.
TOLD = ("id", "name", "queue", "state", "attempt", "publication", "workflow_id")
# How every composed statement begins, before the name of its verb: pg_stat_activity shows it.
MARK = "taskyard moves:"
_TIED_TO_THE_STATE = ("claim", "due_at", "finished_at")


@dataclass(frozen=True, kw_only=True)
class Consequence:
    """What follows when a task moves along one of `edges`.

    `columns` of the task's own row go into the one UPDATE; their expressions see the locked row as `l`.
    `statement` is a data-modifying step over `moved m`, in which `{here}` stands for "m moved along one of these
    edges"; what it returns as `answers[name]` becomes a column of the answer. `needs` are columns of the locked row
    that the consequence reads, with what they are where a verb does not supply them (None: it has to).
    `by_edge` are columns with an SQL expression for each edge.
    """

    name: str
    edges: Collection[Edge]
    columns: Mapping[str, str] = field(default_factory=dict)
    statement: str = ""
    needs: Mapping[str, str | None] = field(default_factory=dict)
    by_edge: Mapping[str, Mapping[Edge, str]] = field(default_factory=dict)
    answers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Verb:
    """What one verb locks and changes.

    `edges`: those it may move a task along. `event`: the SQL expression (over the locked row) that tells which event a
    row meets, where the edges have several. `given`, `between`: steps before and after the lock. `source`, `where`,
    `order`: the rows to lock; `t` is the task. `locks`: further columns of the locked row. `derives`: columns reckoned
    from these. `sets`: the columns of the task that change where no consequence assigns them, over the locked row `l`.
    `moving`: what the update reads instead of `locked`, where there are steps between the two; `by_step`: the columns
    that these add. `returns`: columns to answer beside those that every verb answers. `answer`: another last SELECT.
    """

    name: str
    edges: Sequence[Edge]
    event: str = ""
    given: str = ""
    source: str = "task t"
    where: str = "true"
    order: str = "ORDER BY t.id FOR UPDATE OF t"
    locks: Mapping[str, str] = field(default_factory=dict)
    derives: Mapping[str, str] = field(default_factory=dict)
    between: str = ""
    by_step: Sequence[str] = ()
    moving: str = "locked"
    sets: Mapping[str, str] = field(default_factory=dict)
    returns: Sequence[str] = ()
    answer: str = ""
    is_guarded_late: bool = False
    """Rows that do not move are locked, too: for verbs that answer what they found."""

    @property
    def makes_tasks(self) -> bool:
        return all(state is None for state, _ in self.edges)


def along(*events: Event, out_of: Collection[State] | None = None) -> tuple[Edge, ...]:
    """The edges of these events, in the order of the table."""
    return tuple(e for e in TRANSITIONS if e[1] in events and (out_of is None or e[0] in out_of))


def into(*states: State) -> frozenset[Edge]:
    """The edges that lead to one of these states from another one."""
    return frozenset(edge for edge, after in TRANSITIONS.items() if after in states and edge[0] is not after)


def out_of(*states: State) -> frozenset[Edge]:
    """The edges that lead from one of these states to another one."""
    return frozenset(edge for edge, after in TRANSITIONS.items() if edge[0] in states and edge[0] is not after)


class Composer:
    """Composes verbs with `consequences`."""

    def __init__(self, consequences: Iterable[Consequence]) -> None:
        self.consequences = tuple(consequences)

    def following(self, edge: Edge) -> tuple[Consequence, ...]:
        """What follows along an edge of the table."""
        return tuple(c for c in self.consequences if edge in c.edges)

    def compose(self, verb: Verb) -> sa.Executable:
        """The statement; it answers `TOLD`, `event`, `outbox_id` and what the verb `returns` of each task that moved.

        Raises ValueError where the verb leaves something open that a consequence needs.
        """
        edges = verb.edges
        present = [c for c in self.consequences if not set(edges).isdisjoint(c.edges)]
        sets = self._sets(verb, present)
        needs = {} if verb.makes_tasks else _needs(verb, present)
        by_edge = {name: _case(edges, values) for c in present for name, values in c.by_edge.items()}
        reads = [name for name in dict.fromkeys((*needs, *by_edge, *verb.returns)) if name not in TOLD]
        steps = [verb.given] if verb.given else []
        if verb.makes_tasks:
            move = f"{_insert(sets)}\n    RETURNING {_returned(reads, {})}, {_event_of_new(edges)} AS event"
        else:
            locks = _locks(verb, sets, needs)
            steps.append(_locked(verb, locks))
            seen = {*locks, *verb.derives, *verb.by_step, *by_edge}
            move = f"{_update(sets)}\n    RETURNING {_returned(reads, seen)}, l.before, l.event"
        steps += [verb.between] if verb.between else []
        steps += [_moving(verb, by_edge), f"moved AS (\n    {move}\n)"]
        steps += [f"{c.name} AS (\n    {_here(c, edges)}\n)" for c in present if c.statement]
        answers = {name: sql for c in present for name, sql in c.answers.items()}
        told = {**{column: f"m.{column}" for column in (*TOLD, "event")}, "outbox_id": "NULL", **answers}
        told |= {column: f"m.{column}" for column in verb.returns}
        text = f"/* {MARK} {verb.name} */ WITH {', '.join(step.strip() for step in steps)}\n"
        if verb.answer:
            return sa.text(text + verb.answer.strip())
        listed = ", ".join(f"{sql} AS {name}" for name, sql in told.items())
        # Named to SQLAlchemy, or it would find them out anew at each call.
        return sa.text(f"{text}SELECT {listed} FROM moved m ORDER BY m.id").columns(*map(sa.column, told))

    def _sets(self, verb: Verb, present: Sequence[Consequence]) -> dict[str, str]:
        """Every column that the update assigns, with its expression."""
        edges = verb.edges
        columns: dict[str, dict[Edge, str]] = {} if verb.makes_tasks else {c: {} for c in _TIED_TO_THE_STATE}
        for consequence in present:
            for column, expression in consequence.columns.items():
                here = {edge: expression for edge in edges if edge in consequence.edges}
                if not here.keys().isdisjoint(columns.setdefault(column, {})):
                    raise ValueError(f"{verb.name}: {consequence.name} assigns {column} a second time")
                columns[column].update(here)
        states = {edge: f"'{TRANSITIONS[edge]}'" for edge in edges}
        followed = {c: _case(edges, values, verb.sets.get(c, f"l.{c}")) for c, values in columns.items()}
        return {"state": _case(edges, states), **verb.sets, **followed}


def guard(edges: Iterable[Edge], column: str = "t.state") -> str:
    """That the row is in a state which one of the edges leads out of."""
    states = dict.fromkeys(state for state, _ in edges if state is not None)
    listed = ", ".join(f"'{state}'" for state in states)
    return f"{column} = {listed}" if len(states) == 1 else f"{column} IN ({listed})"


def _here(consequence: Consequence, edges: Sequence[Edge]) -> str:
    inside = [edge for edge in edges if edge in consequence.edges]
    return consequence.statement.strip().replace("{here}", _condition(edges, inside, "m."))


def _condition(edges: Sequence[Edge], inside: Collection[Edge], row: str = "") -> str:
    """In SQL: the row moves along one of the edges `inside`, knowing that it is one of `edges`."""
    if len(inside) == len(edges):
        return "true"
    if len({event for _, event in edges}) == 1:
        return guard(inside, f"{row}before")
    events = dict.fromkeys(event for _, event in inside)
    if all((edge in inside) == (edge[1] in events) for edge in edges):
        listed = ", ".join(f"'{event}'" for event in events)
        return f"{row}event = {listed}" if len(events) == 1 else f"{row}event IN ({listed})"
    pairs = ", ".join(f"('{state}', '{event}')" for state, event in inside)
    return f"({row}before, {row}event) IN ({pairs})"


def _case(edges: Sequence[Edge], values: Mapping[Edge, str], otherwise: str = "NULL") -> str:
    """The expression for the edge that the row moves along; `otherwise` where it has none."""
    found: dict[str, list[Edge]] = {}
    for edge in edges:
        found.setdefault(values.get(edge, otherwise), []).append(edge)
    if len(found) == 1:
        return next(iter(found))
    default = otherwise if otherwise in found else next(reversed(found))
    whens = (f"WHEN {_condition(edges, inside)} THEN {value}" for value, inside in found.items() if value != default)
    return f"CASE {' '.join(whens)} ELSE {default} END"


def _needs(verb: Verb, present: Sequence[Consequence]) -> dict[str, str]:
    """The columns that consequences read, with their expressions."""
    needs: dict[str, str] = {}
    for consequence in present:
        for name, otherwise in consequence.needs.items():
            expression = verb.locks.get(name, verb.derives.get(name, otherwise))
            if expression is None and name not in verb.by_step:
                raise ValueError(f"{verb.name}: {consequence.name} needs {name}")
            needs[name] = expression or name
    return needs


def _locks(verb: Verb, sets: Mapping[str, str], needs: Mapping[str, str]) -> dict[str, str]:
    """The columns of the locked row: what the verb and the consequences name, and what `sets` reads of the task."""
    elsewhere = {*verb.derives, *verb.by_step}
    read = {name: sql for name, sql in needs.items() if name not in elsewhere}
    locks = {"id": "t.id", "before": "t.state", **read, **verb.locks}
    for column in sets:
        if column not in elsewhere and any(f"l.{column}" in expression for expression in sets.values()):
            locks.setdefault(column, f"t.{column}")
    return locks


def _locked(verb: Verb, locks: Mapping[str, str]) -> str:
    columns = ", ".join(sql if sql == f"t.{name}" else f"{sql} AS {name}" for name, sql in locks.items())
    where = verb.where if verb.is_guarded_late else f"{guard(verb.edges)} AND {verb.where}"
    return f"locked AS (\n    SELECT {columns}\n    FROM {verb.source}\n    WHERE {where}\n    {verb.order}\n)"


def _moving(verb: Verb, by_edge: Mapping[str, str]) -> str:
    """The rows that move, with the event of each: only along the edges of the table."""
    event = verb.event or f"'{verb.edges[0][1]}'"
    where = ""
    if not verb.makes_tasks and (verb.event or verb.is_guarded_late):
        pairs = ", ".join(f"('{state}', '{event}')" for state, event in verb.edges)
        where = f"\n    WHERE (before, event) IN ({pairs})"
    derived = _listed({"event": event, **verb.derives})
    return f"moving AS (\n    SELECT *{_listed(by_edge)} FROM (SELECT *{derived} FROM {verb.moving}) e{where}\n)"


def _listed(columns: Mapping[str, str]) -> str:
    return "".join(f", {sql} AS {name}" for name, sql in columns.items())


def _returned(reads: Iterable[str], seen: Collection[str]) -> str:
    """Of the locked row where it has the column, else of the task."""
    return ", ".join([*(f"t.{column}" for column in TOLD), *(f"{'l' if n in seen else 't'}.{n}" for n in reads)])


def _event_of_new(edges: Sequence[Edge]) -> str:
    """Of a task that was made; an INSERT returns columns of its own row only."""
    if len(edges) == 1:
        return f"'{edges[0][1]}'"
    whens = " ".join(f"WHEN '{TRANSITIONS[edge]}' THEN '{edge[1]}'" for edge in edges)
    return f"CASE t.state {whens} END"


def _update(sets: Mapping[str, str]) -> str:
    assigned = ",\n        ".join(f"{column} = {sql}" for column, sql in sets.items())
    return f"UPDATE task t SET\n        {assigned}\n    FROM moving l WHERE t.id = l.id"


def _insert(sets: Mapping[str, str]) -> str:
    """ON CONFLICT DO NOTHING: the same ids again, after a commit whose answer got lost, must not fail the batch."""
    return (
        f"INSERT INTO task AS t ({', '.join(sets)})\n    SELECT {', '.join(sets.values())}\n"
        "    FROM moving l ORDER BY l.id\n    ON CONFLICT (id) DO NOTHING"
    )

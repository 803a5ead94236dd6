# ruff: noqa: S608 - statements are put together from constants of this package; every value is bound
"""The composer: a verb and the transition table -> the one statement that moves tasks.

The composer adds to a verb what the table knows: the guard (only states in which the event means something), the new
state, and the consequences that `consequences.py` assigns to the edges. Every statement has the same shape:

    WITH [what the verb was given],
         locked   AS (SELECT ... FROM task t WHERE guard AND ... ORDER BY t.id FOR UPDATE),
         moved    AS (UPDATE ... SET state, ... FROM locked l WHERE t.id = l.id RETURNING ...),
         [one data-modifying step a consequence, over `moved`]
    SELECT ... FROM moved m ORDER BY m.id

States are literals, so that the planner can match partial indexes.

Every column that a table constraint ties to the state (claim, due_at, finished_at) is assigned from the locked row:
PostgreSQL first tries an UPDATE on the row as the statement's snapshot has it, and a statement that waited for a lock
would mix the old columns with the new state.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import sqlalchemy as sa

from ..domain.tasks import FINAL, TRANSITIONS, Edge, Event, State

# What `lifecycle.committed` reads of each task that moved, followed by `event`, `outbox_id` and `calls_back`.
ANSWERED = ("id", "name", "queue", "state", "attempt", "publication", "workflow_id")
# How every composed statement begins, before the name of its verb: pg_stat_activity shows it.
MARK = "taskyard moves:"
# The columns that constraints of the table tie to the state, with the states in which they are not NULL.
_TIED_TO_THE_STATE = {
    "claim": {State.RUNNING},
    "due_at": {State.SCHEDULED, State.RETRYING},
    "finished_at": FINAL,
}


@dataclass(frozen=True, kw_only=True)
class Consequence:
    """What follows when a task moves along one of `edges`.

    `columns` of the task's own row go into the one UPDATE; in their expressions `{before}` is what the column was, and
    `l` the locked row. `statement` is a data-modifying step over `moved m`. `{here}` in it stands for "m moved along
    one of these edges", `{name}` for what `needs` and `by_edge` name: `needs` are columns that verbs supply, each with
    what it is where a verb does not (None: every verb has to); `by_edge` are SQL expressions for each edge. `answers`
    are columns that the step adds to the answer, over `moved m`. `makes`: new tasks that follow, in the same statement;
    the verb's `source` reads `moved m`, with the same placeholders.
    """

    name: str
    edges: Collection[Edge]
    columns: Mapping[str, str] = field(default_factory=dict)
    statement: str = ""
    needs: Mapping[str, str | None] = field(default_factory=dict)
    by_edge: Mapping[str, Mapping[Edge, str]] = field(default_factory=dict)
    answers: Mapping[str, str] = field(default_factory=dict)
    makes: Verb | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Verb:
    """What one verb locks and changes.

    - `edges`: those it may move a task along.
    - `event`: the SQL expression that tells which event a row meets, where the edges have several.
    - `given`: steps before the lock.
    - `source`, `where`, `order`: the rows to lock; `t` is the task. Where tasks are made, `source` has them.
    - `locks`: further columns of the locked row.
    - `sets`: the columns of the task that change where no consequence assigns them; `l` is the locked row.
    - `returns`: what to answer beside what every verb answers; `answer`: another last SELECT.
    - `is_guarded_late`: rows that do not move are locked, too, to be answered.
    """

    name: str
    edges: Sequence[Edge]
    event: str = ""
    given: str = ""
    source: str = "task t"
    where: str = "true"
    order: str = "ORDER BY t.id FOR UPDATE OF t"
    locks: Mapping[str, str] = field(default_factory=dict)
    sets: Mapping[str, str] = field(default_factory=dict)
    returns: Mapping[str, str] = field(default_factory=dict)
    answer: str = ""
    is_guarded_late: bool = False

    @property
    def one_state(self) -> State | None:
        """The only state in which it finds the tasks that it locks, if there is just one."""
        states = {state for state, _ in self.edges}
        return states.pop() if len(states) == 1 and not self.is_guarded_late else None

    @property
    def makes_tasks(self) -> bool:
        return all(state is None for state, _ in self.edges)


def along(*events: Event, out_of: Collection[State] | None = None) -> tuple[Edge, ...]:
    """The edges of these events, in the order of the table."""
    return tuple(e for e in TRANSITIONS if e[1] in events and (out_of is None or e[0] in out_of))


def incoming(columns: str) -> str:
    """The step that unfolds `:batch`, with these columns and their types."""
    return f"incoming AS (SELECT * FROM json_to_recordset(CAST(:batch AS json)) AS x({columns}))"


def into(*states: State) -> frozenset[Edge]:
    """The edges that lead to one of these states from another one."""
    return frozenset(edge for edge, after in TRANSITIONS.items() if after in states and edge[0] is not after)


def out_of(*states: State) -> frozenset[Edge]:
    """The edges that lead from one of these states to another one."""
    return frozenset(edge for edge, after in TRANSITIONS.items() if edge[0] in states and edge[0] is not after)


def compose(verb: Verb, consequences: Iterable[Consequence]) -> sa.Executable:
    """The statement. It answers `ANSWERED`, `event`, `outbox_id`, `calls_back` and what the verb `returns`: a row a
    move.

    Raises ValueError where the verb leaves something open that a consequence needs.
    """
    every = list(consequences)
    present = _along_its_edges(verb, every)
    sets = _sets(verb, present)
    needs = {} if verb.makes_tasks else _needs(verb, present)
    steps = [verb.given] if verb.given else []
    if verb.makes_tasks:
        move = _insert(verb, sets)
    else:
        steps.append(_locked(verb, sets))
        move = _update(verb, sets)
    steps.append(f"moved AS (\n    {move}\n    RETURNING {_returned(verb, needs)}\n)")
    following = ((c, c.statement or (c.makes and _entering(c.makes, every))) for c in present)
    steps += [f"{c.name} AS (\n    {_here(c, step, verb, needs)}\n)" for c, step in following if step]
    text = f"/* {MARK} {verb.name} */ WITH {', '.join(step.strip() for step in steps)}\n"
    if verb.answer:
        return sa.text(text + verb.answer.strip())
    told = {column: f"m.{column}" for column in (*ANSWERED, "event")} | {"outbox_id": "NULL", "calls_back": "NULL"}
    for consequence in present:
        told |= consequence.answers
    told |= {column: f"m.{column}" for column in verb.returns}
    # Named to SQLAlchemy, or it would find them out anew at each call.
    return sa.text(f"{text}SELECT {_listed(told)} FROM moved m ORDER BY m.id").columns(*map(sa.column, told))


def _along_its_edges(verb: Verb, consequences: Iterable[Consequence]) -> list[Consequence]:
    return [c for c in consequences if not set(verb.edges).isdisjoint(c.edges)]


def _entering(verb: Verb, consequences: Iterable[Consequence]) -> str:
    """The step that makes tasks which follow from a move. What follows from their own entry are columns only: a
    statement's other steps read the tasks that moved."""
    present = _along_its_edges(verb, consequences)
    if any(c.statement or c.makes for c in present):
        raise ValueError(f"{verb.name}: more follows from this entry than columns of the new tasks")
    return _insert(verb, _sets(verb, present))


def guard(edges: Iterable[Edge], column: str = "t.state") -> str:
    """That the row is in a state which one of the edges leads out of."""
    return _is_one_of(column, [state for state, _ in edges if state is not None])


def _is_one_of(column: str, words: Iterable[str]) -> str:
    listed = ", ".join(f"'{word}'" for word in dict.fromkeys(words))
    return f"{column} IN ({listed})" if "," in listed else f"{column} = {listed}"


def _is_along(row: str, edges: Iterable[Edge]) -> str:
    pairs = ", ".join(f"('{state}', '{event}')" for state, event in edges)
    return f"({row}.before, {row}.event) IN ({pairs})"


def _condition(edges: Sequence[Edge], inside: Collection[Edge], row: str) -> str:
    """In SQL: the row moves along one of the edges `inside`, knowing that it is one of `edges`."""
    if len(inside) == len(edges):
        return "true"
    if len({event for _, event in edges}) == 1:
        return guard(inside, f"{row}.before")
    events = [event for _, event in inside]
    if all((edge in inside) == (edge[1] in events) for edge in edges):
        return _is_one_of(f"{row}.event", events)
    return _is_along(row, inside)


def _case(edges: Sequence[Edge], values: Mapping[Edge, str], otherwise: str = "NULL", *, row: str = "l") -> str:
    """The expression for the edge that the row moves along; `otherwise` where it has none."""
    found: dict[str, list[Edge]] = {}
    for edge in edges:
        found.setdefault(values.get(edge, otherwise), []).append(edge)
    if len(found) == 1:
        return next(iter(found))
    default = otherwise if otherwise in found else next(reversed(found))
    whens = (
        f"WHEN {_condition(edges, inside, row)} THEN {value}" for value, inside in found.items() if value != default
    )
    return f"CASE {' '.join(whens)} ELSE {default} END"


def _sets(verb: Verb, present: Sequence[Consequence]) -> dict[str, str]:
    """Every column that is assigned, with its expression."""
    edges = verb.edges
    # In all other states these are NULL, before as after.
    kept = {
        column: f"l.{column}"
        for column, states in _TIED_TO_THE_STATE.items()
        if verb.is_guarded_late or any(state in states for state, _ in edges)
    }
    otherwise = {**dict.fromkeys(_TIED_TO_THE_STATE, "NULL"), **kept, **verb.sets}
    columns: dict[str, dict[Edge, str]] = {column: {} for column in (*kept, *verb.sets)}
    for consequence in present:
        for column, expression in consequence.columns.items():
            assigned = columns.setdefault(column, {})
            for edge in (edge for edge in edges if edge in consequence.edges):
                if edge in assigned:
                    raise ValueError(f"{verb.name}: {consequence.name} assigns {column} a second time")
                assigned[edge] = expression.replace("{before}", otherwise.get(column, f"t.{column}"))
    states = _case(edges, {edge: f"'{TRANSITIONS[edge]}'" for edge in edges})
    return {"state": states} | {c: _case(edges, by, otherwise.get(c, f"t.{c}")) for c, by in columns.items()}


def _needs(verb: Verb, present: Sequence[Consequence]) -> dict[str, str]:
    """What consequences read: columns of the locked row (`l.`) or the task (`t.`), and constants."""
    needs: dict[str, str] = {}
    for consequence in present:
        for name, otherwise in consequence.needs.items():
            if name in verb.locks:
                needs[name] = f"l.{name}"
            elif otherwise is None:
                raise ValueError(f"{verb.name}: {consequence.name} needs {name}")
            else:
                needs[name] = otherwise
    return needs


def _locked(verb: Verb, sets: Mapping[str, str]) -> str:
    kept = {c: f"t.{c}" for c in _TIED_TO_THE_STATE if any(f"l.{c}" in sql for sql in sets.values())}
    locks = {"id": "t.id", **({} if verb.one_state else {"before": "t.state"}), **kept, **verb.locks}
    if verb.event:
        locks["event"] = verb.event
    where = verb.where if verb.is_guarded_late else f"{guard(verb.edges)} AND {verb.where}"
    return f"locked AS (\n    SELECT {_listed(locks)}\n    FROM {verb.source}\n    WHERE {where}\n    {verb.order}\n)"


def _update(verb: Verb, sets: Mapping[str, str]) -> str:
    """Rows move along the edges of the table only, whatever event the verb names."""
    assigned = ",\n        ".join(f"{column} = {sql}" for column, sql in sets.items())
    where = "t.id = l.id"
    if verb.event and verb.one_state:
        where += f" AND {_is_one_of('l.event', [event for _, event in verb.edges])}"
    elif verb.event:
        where += f" AND {_is_along('l', verb.edges)}"
    elif verb.is_guarded_late:
        where += f" AND {guard(verb.edges, 'l.before')}"
    return f"UPDATE task t SET\n        {assigned}\n    FROM locked l WHERE {where}"


def _insert(verb: Verb, sets: Mapping[str, str]) -> str:
    """ON CONFLICT DO NOTHING: the same ids again, after a commit whose answer got lost, must not fail the batch."""
    return (
        f"INSERT INTO task AS t ({', '.join(sets)})\n    SELECT {', '.join(sets.values())}\n"
        f"    FROM {verb.source} l ORDER BY l.id\n    ON CONFLICT (id) DO NOTHING"
    )


def _returned(verb: Verb, needs: Mapping[str, str]) -> str:
    columns = {column: f"t.{column}" for column in ANSWERED}
    columns |= {name: sql for name, sql in needs.items() if sql.startswith(("l.", "t."))}
    columns |= verb.returns
    if verb.makes_tasks:
        # An INSERT returns columns of its own row only: the event is told by the state that it led to.
        whens = " ".join(f"WHEN '{TRANSITIONS[edge]}' THEN '{edge[1]}'" for edge in verb.edges)
        columns["event"] = f"CASE t.state {whens} END"
    else:
        columns |= {} if verb.one_state else {"before": "l.before"}
        columns["event"] = "l.event" if verb.event else f"'{verb.edges[0][1]}'"
    return _listed(columns)


def _listed(columns: Mapping[str, str]) -> str:
    """A list of expressions with their names."""
    return ", ".join(sql if re.fullmatch(rf"\w+\.{name}", sql) else f"{sql} AS {name}" for name, sql in columns.items())


def _here(consequence: Consequence, text: str, verb: Verb, needs: Mapping[str, str]) -> str:
    """The text of a step with its placeholders filled."""
    inside = [edge for edge in verb.edges if edge in consequence.edges]
    values = {name: _case(inside, by_edge, row="m") for name, by_edge in consequence.by_edge.items()}
    values |= {n: f"m.{n}" if needs[n].startswith(("l.", "t.")) else needs[n] for n in consequence.needs if n in needs}
    values["here"] = _condition(verb.edges, inside, "m")
    text = text.strip()
    for name, value in values.items():
        text = text.replace(f"{{{name}}}", value)
    return text

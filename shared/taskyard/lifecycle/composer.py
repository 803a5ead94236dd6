# ruff: noqa: S608 - statements are put together from constants of this package; every value is bound
"""The composer: a verb and the transition table -> the one statement that moves tasks.

The composer adds to a verb what the table knows: the guard (only states in which the event means something), the new
state, and the consequences that `consequences.py` assigns to the edges. Every statement has the same shape:

    WITH [what the verb was given],
         locked   AS (SELECT ... FROM task t WHERE guard AND ... ORDER BY t.id FOR UPDATE),
         moved    AS (UPDATE ... SET state, ... FROM locked l WHERE t.id = l.id RETURNING ...),
         [one data-modifying step a consequence, over `moved`]
         [one data-modifying step a consequence, over `moved`]
    SELECT ... FROM moved m ORDER BY m.id

With a verb's `fence` the lock is left out, and the fence is asked in its place.

Where other tasks move in consequence, as steps of a workflow do, a step before `locked` locks them and the verb's tasks
in one order.

States are literals, so that the planner can match partial indexes; a batch's ids are looked up by the primary key.

Every column that a table constraint ties to the state (claim, due_at, finished_at) is assigned from the locked row:
PostgreSQL first tries an UPDATE on the row as the statement's snapshot has it, and a statement that waited for a lock
would mix the old columns with the new state.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

import sqlalchemy as sa

from ..domain.tasks import FINAL, TRANSITIONS, Edge, State
from .edge_sql import case, condition, guard, is_along, is_one_of, listed
from .verbs import ANSWERED, BY_ID, STATE_BY_ID, Consequence, Verb, along, each_by_id, incoming, into, out_of

__all__ = ["ANSWERED", "MARK", "Consequence", "Verb", "along", "compose", "each_by_id", "incoming", "into", "out_of"]


# How every composed statement begins, before the name of its verb: pg_stat_activity shows it.
MARK = "taskyard moves:"
# The columns that constraints of the table tie to the state, with the states in which they are not NULL.
_TIED_TO_THE_STATE = {
    "claim": {State.RUNNING},
    "due_at": {State.SCHEDULED, State.RETRYING},
    "finished_at": FINAL,
}
_TOLD = {*ANSWERED, "event", "outbox_id", "wakes"}


def compose(verb: Verb, consequences: Iterable[Consequence]) -> sa.Executable:
    """The statement. It answers `ANSWERED`, `event`, `outbox_id`, `wakes` and what the verb `returns`: a row a
    move.

    Raises ValueError where the verb leaves something open that a consequence needs.
    """
    every = list(consequences)
    steps, present = _steps(verb, every)
    text = f"/* {MARK} {verb.name} */ WITH {', '.join(steps)}\n"
    told = {column: f"m.{column}" for column in (*ANSWERED, "event")} | {"outbox_id": "NULL", "wakes": "NULL"}
    told |= _answers(present) | {column: f"m.{column}" for column in verb.returns}
    more = verb.more if verb.answer else [column for column in told if column not in _TOLD]
    others = [_told_of(c.name, c.moves, every, more) for c in present if c.moves]
    last = verb.answer.strip() or f"SELECT {listed(told)} FROM moved m ORDER BY m.id"
    text += " UNION ALL ".join(f"({select})" for select in (last, *others)) if others else last
    # Named to SQLAlchemy, or it would find them out anew at each call.
    return sa.text(text) if verb.answer else sa.text(text).columns(*map(sa.column, told))


def _steps(verb: Verb, every: Sequence[Consequence]) -> tuple[list[str], list[Consequence]]:
    """The steps of the verb and of all that follows, and the consequences that do."""
    present = _along_its_edges(verb, every)
    sets = _sets(verb, present)
    needs = _needs(verb, present)
    steps = [verb.given.strip()] if verb.given else []
    if verb.makes_tasks:
        move = _insert(verb, sets)
    else:
        # What takes its rows in another order skips those that are locked: it does not wait with a lock in its hands.
        holds = [c.holds for c in present if c.holds] if verb.order == BY_ID else []
        steps += [*_held(verb, holds), _locked(verb, sets, held=bool(holds))]
        move = _update(verb, sets)
    steps.append(f"moved AS (\n    {move}\n    RETURNING {_returned(verb, needs)}\n)")
    for consequence in present:
        following = {**consequence.steps, consequence.name: consequence.statement}
        if consequence.makes:
            following[consequence.name] = _entering(consequence.makes, every)
        steps += [f"{n} AS (\n    {_here(consequence, s, verb, needs)}\n)" for n, s in following.items() if s]
        if consequence.moves:
            others, follow = _steps(consequence.moves, every)
            steps += [_renamed(step, consequence.name, follow) for step in others]
    return steps, present


def _answers(present: Iterable[Consequence]) -> dict[str, str]:
    found: dict[str, str] = {}
    for consequence in present:
        for column, sql in consequence.answers.items():
            found[column] = f"({found[column]} OR {sql})" if column in found else sql
    return found


def _told_of(name: str, verb: Verb, every: Sequence[Consequence], more: Iterable[str]) -> str:
    """What is answered of the other tasks that move in consequence."""
    present = _along_its_edges(verb, every)
    told = {column: f"m.{column}" for column in (*ANSWERED, "event")} | {"outbox_id": "NULL", "wakes": "NULL"}
    told |= _answers(present) | dict.fromkeys(more, "NULL")
    return _renamed(f"SELECT {listed(told)} FROM moved m ORDER BY m.id", name, present)


def _renamed(text: str, name: str, present: Iterable[Consequence]) -> str:
    """The steps of a move that follows from another one have names of their own."""
    names = "|".join(["locked", "moved", *(c.name for c in present)])
    return re.sub(rf"\b({names})\b", rf"{name}_\1", text)


def _along_its_edges(verb: Verb, consequences: Iterable[Consequence]) -> list[Consequence]:
    return [c for c in consequences if not set(verb.edges).isdisjoint(c.edges)]


def _entering(verb: Verb, consequences: Iterable[Consequence]) -> str:
    """The step that makes tasks which follow from a move. What follows from their own entry are columns only: a
    statement's other steps read the tasks that moved."""
    present = _along_its_edges(verb, consequences)
    if any(c.statement or c.steps or c.makes or c.moves for c in present):
        raise ValueError(f"{verb.name}: more follows from this entry than columns of the new tasks")
    return _insert(verb, _sets(verb, present))


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
                row = "l" if verb.makes_tasks else "t"
                assigned[edge] = expression.replace("{before}", otherwise.get(column, f"t.{column}")).replace(
                    "{task}", row
                )
    states = case(edges, {edge: f"'{TRANSITIONS[edge]}'" for edge in edges})
    return {"state": states} | {c: case(edges, by, otherwise.get(c, f"t.{c}")) for c, by in columns.items()}


def _needs(verb: Verb, present: Sequence[Consequence]) -> dict[str, str]:
    """What consequences read: columns of the locked row (`l.`) or the task (`t.`), and constants."""
    needs: dict[str, str] = {}
    for consequence in present:
        for name, otherwise in consequence.needs.items():
            if name in verb.locks:
                needs[name] = f"l.{name}"
            elif otherwise is None and verb.makes_tasks:
                continue  # its columns come from the verb's source
            elif otherwise is None:
                raise ValueError(f"{verb.name}: {consequence.name} needs {name}")
            else:
                needs[name] = otherwise
    return needs


def _condition_of(verb: Verb) -> str:
    if verb.is_guarded_late:
        return verb.where
    column = STATE_BY_ID if verb.is_of_a_batch else "t.state"
    return f"{guard(verb.edges, column)} AND {verb.where}"


def _held(verb: Verb, holds: Sequence[str]) -> list[str]:
    """The steps that lock the verb's tasks and the others in one order."""
    if not holds:
        return []
    wanted = f"SELECT t.id, t.workflow_id FROM {verb.source} WHERE {_condition_of(verb)}"
    ids = " UNION ".join(["SELECT id FROM wanted", *(sql.strip() for sql in holds)])
    held = f"SELECT t.id FROM task t WHERE t.id = ANY(ARRAY({ids})) {BY_ID}"
    return [f"wanted AS (\n    {wanted}\n)", f"held AS (\n    {held}\n)"]


def _locked(verb: Verb, sets: Mapping[str, str], *, held: bool) -> str:
    kept = {c: f"t.{c}" for c in _TIED_TO_THE_STATE if any(f"l.{c}" in sql for sql in sets.values())}
    locks = {"id": "t.id", **({} if verb.one_state else {"before": "t.state"}), **kept, **verb.locks}
    if verb.event:
        locks["event"] = verb.event
    where = f"{_condition_of(verb)}{' AND t.id = ANY(ARRAY(SELECT id FROM held))' if held else ''}"
    rows = f"SELECT {listed(locks)}\n    FROM {verb.source}\n    WHERE {where}"
    if verb.fence:  # MATERIALIZED: what locks nothing would be merged with the update, and lose its order
        return f"locked AS MATERIALIZED (\n    {rows}\n    ORDER BY t.id\n)"
    return f"locked AS (\n    {rows}\n    {verb.order}\n)"


def _update(verb: Verb, sets: Mapping[str, str]) -> str:
    """Rows move along the edges of the table only, whatever event the verb names."""
    assigned = ",\n        ".join(f"{column} = {sql}" for column, sql in sets.items())
    where = "t.id = l.id"
    if verb.event and verb.one_state:
        where += f" AND {is_one_of('l.event', [event for _, event in verb.edges])}"
    elif verb.event:
        where += f" AND {is_along('l', verb.edges)}"
    elif verb.is_guarded_late:
        where += f" AND {guard(verb.edges, 'l.before')}"
    if verb.fence:
        where += f" AND {verb.fence}"
    return f"UPDATE task t SET\n        {assigned}\n    FROM locked l WHERE {where}"


def _insert(verb: Verb, sets: Mapping[str, str]) -> str:
    """ON CONFLICT DO NOTHING: the same ids again, after a commit whose answer got lost, must not fail the batch."""
    rows = f"SELECT {', '.join(sets.values())}\n    FROM {verb.source} l ORDER BY l.id"
    conflicts = "\n    ON CONFLICT (id) DO NOTHING" if verb.may_exist else ""
    return f"INSERT INTO task AS t ({', '.join(sets)})\n    {rows}{conflicts}"


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
    return listed(columns)


def _here(consequence: Consequence, text: str, verb: Verb, needs: Mapping[str, str]) -> str:
    """The text of a step with its placeholders filled."""
    inside = [edge for edge in verb.edges if edge in consequence.edges]
    values = {name: case(inside, by_edge, row="m") for name, by_edge in consequence.by_edge.items()}
    values |= {n: f"m.{n}" if needs[n].startswith(("l.", "t.")) else needs[n] for n in consequence.needs if n in needs}
    values["here"] = condition(verb.edges, inside, "m")
    text = text.strip()
    for name, value in values.items():
        text = text.replace(f"{{{name}}}", value)
    return text

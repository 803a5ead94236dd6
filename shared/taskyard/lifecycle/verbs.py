# ruff: noqa: S608 - statements are put together from constants of this package
"""What the composer is given: verbs, consequences, and the edges of the transition table that they name."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from ..domain.tasks import TRANSITIONS, Edge, Event, State

# What `lifecycle.committed` reads of each task that moved, followed by `event`, `outbox_id` and `wakes`.
ANSWERED = ("id", "name", "queue", "state", "attempt", "publication", "workflow_id")
# How the rows are locked, unless a verb says otherwise.
BY_ID = "ORDER BY t.id FOR UPDATE OF t"


@dataclass(frozen=True, kw_only=True)
class Consequence:
    """What follows when a task moves along one of `edges`.

    `columns` of the task's own row go into the one UPDATE; in their expressions `{before}` is what the column was,
    `{task}` the task, and `l` the locked row. `statement` is a data-modifying step over `moved m`. `{here}` in it
    stands for "m moved along one of these edges", `{name}` for what `needs` and `by_edge` name: `needs` are columns
    that verbs supply, each with what it is where a verb does not (None: every verb has to); `by_edge` are SQL
    expressions for each edge. `answers` are columns that the step adds to the answer, over `moved m`; what several
    consequences answer in one column is joined by OR. `makes`: new tasks that follow, in the same statement; the
    verb's `source` reads `moved m`, with the same placeholders. `moves`: other tasks that move in consequence, with
    all that follows from their moves; they are answered, too. `steps` come before either. `holds`: SQL of the ids
    of those other tasks, which are locked in one order with the tasks of the verb; `wanted` has the `id` and the
    `workflow_id` of these.
    """

    name: str
    edges: Collection[Edge]
    columns: Mapping[str, str] = field(default_factory=dict)
    statement: str = ""
    needs: Mapping[str, str | None] = field(default_factory=dict)
    by_edge: Mapping[str, Mapping[Edge, str]] = field(default_factory=dict)
    answers: Mapping[str, str] = field(default_factory=dict)
    steps: Mapping[str, str] = field(default_factory=dict)
    makes: Verb | None = None
    moves: Verb | None = None
    holds: str = ""


@dataclass(frozen=True, kw_only=True, eq=False)
class Verb:
    """What one verb locks and changes.

    - `edges`: those it may move a task along.
    - `event`: the SQL expression that tells which event a row meets, where the edges have several.
    - `given`: steps before the lock.
    - `source`, `where`, `order`: the rows to lock; `t` is the task. Where tasks are made, `source` has them.
    - `locks`: further columns of the locked row.
    - `sets`: the columns of the task that change where no consequence assigns them; `l` is the locked row.
    - `returns`: what to answer beside what every verb answers; `answer`: another last SELECT, with the columns `more`
      behind those that every verb answers.
    - `is_guarded_late`: rows that do not move are locked, too, to be answered.
    - `may_exist`: where tasks are made, some of them may be written already, and are left as they are. Otherwise the
      statement fails for these; a row costs less then.
    - `fence`: a condition on the task `t` and what was read of it (`l`) that holds as long as this verb may move it,
      whatever others have changed meanwhile. With it, rows are not locked before they are updated: the update asks
      the condition again of a row that it had to wait for. For connections that update in order (`store/ledger.py`),
      or verbs could wait for each other in a circle.
    """

    name: str
    edges: Sequence[Edge]
    event: str = ""
    given: str = ""
    source: str = "task t"
    where: str = "true"
    order: str = BY_ID
    locks: Mapping[str, str] = field(default_factory=dict)
    sets: Mapping[str, str] = field(default_factory=dict)
    returns: Mapping[str, str] = field(default_factory=dict)
    answer: str = ""
    more: Sequence[str] = ()
    is_guarded_late: bool = False
    may_exist: bool = True
    fence: str = ""

    @property
    def one_state(self) -> State | None:
        """The only state in which it finds the tasks that it locks, if there is just one."""
        states = {state for state, _ in self.edges}
        return states.pop() if len(states) == 1 and not self.is_guarded_late else None

    @property
    def is_of_a_batch(self) -> bool:
        """It finds its tasks by the ids that it is given."""
        return "incoming" in self.source or "t.id = ANY(:ids)" in self.where

    @property
    def makes_tasks(self) -> bool:
        return all(state is None for state, _ in self.edges)


# The state of a task that is found by its id. Written so, no index over states fits: with statistics of an hour in
# which nothing ran, or of an empty table, the planner takes reading all that runs for cheaper than looking a batch's
# ids up.
STATE_BY_ID = "(t.state || '')"


def along(*events: Event, out_of: Collection[State | None] | None = None) -> tuple[Edge, ...]:
    """The edges of these events, in the order of the table."""
    return tuple(e for e in TRANSITIONS if e[1] in events and (out_of is None or e[0] in out_of))


def incoming(columns: str) -> str:
    """The step that unfolds `:batch`, with these columns and their types."""
    return f"incoming AS (SELECT * FROM json_to_recordset(CAST(:batch AS json)) AS x({columns}))"


_NARROW = "id, state, attempt, claim, due_at, finished_at, cancel_requested_at, workflow_id"


def each_by_id(key: str, condition: str) -> str:
    """The source of a verb with a batch: for each row `i` of it the task with that id, where the condition holds.

    OFFSET 0 keeps the planner from turning the join round: while the table is empty or has no statistics it would read
    all tasks and compare each with the batch, and a plan that is kept goes on so. The rows are locked one by one, as
    they are found, hence the order. No large columns: a lock copies what the subquery selects.
    """
    return f"""(SELECT * FROM incoming ORDER BY {key}) i
    CROSS JOIN LATERAL (SELECT {_NARROW} FROM task t WHERE t.id = i.{key} AND {condition} OFFSET 0) t"""


def into(*states: State) -> frozenset[Edge]:
    """The edges that lead to one of these states from another one."""
    return frozenset(edge for edge, after in TRANSITIONS.items() if after in states and edge[0] is not after)


def out_of(*states: State) -> frozenset[Edge]:
    """The edges that lead from one of these states to another one."""
    return frozenset(edge for edge, after in TRANSITIONS.items() if edge[0] in states and edge[0] is not after)

"""The registry of task types: workers write what they run, API and scheduler read it.

A type counts as live while a worker that has it lives: nothing is removed when a worker ends.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

import orjson
import sqlalchemy as sa
import structlog
from sqlalchemy import Connection

from ..catalogue.registry import Live
from ..catalogue.spec import SpecRefused, TaskSpec
from ..catalogue.stored import MAX_STORED_BYTES, spec_in
from ..catalogue.types import MAX_NAME_BYTES
from . import audit
from .audit import Action, Actor
from .persons import PERSONS_MARKED
from .what_runs import NAMED, OF_LIVE_QUEUES, RUNS

log = structlog.stdlib.get_logger(__name__)

RETIRED_AFTER = timedelta(days=30)
# Waiting tasks are counted up to here: a person waits for the answer.
COUNTED = 100_000

# The live workers, as `fleet.py` tells them: `:lease` after the last heartbeat.
_IS_LIVE = "w.lost_at IS NULL AND w.stopped_at IS NULL AND w.beat_at > now() - CAST(:lease AS interval)"

# `before` locks the rows in order, so that workers that register together wait for each other instead of deadlocking,
# and sees the content that is replaced, whoever committed it last. Unchanged rows are not written, but for `seen_at`.
_WRITE = sa.text("""
WITH given AS MATERIALIZED (
    SELECT * FROM json_to_recordset(CAST(:batch AS json))
        AS x(name text, version integer, digest text, spec jsonb, kit text)
    ORDER BY name, version
), before AS MATERIALIZED (
    SELECT t.name, t.version, t.digest FROM task_type t JOIN given g USING (name, version)
    ORDER BY t.name, t.version FOR UPDATE OF t
), written AS (
    INSERT INTO task_type AS t (name, version, digest, spec, kit)
    SELECT g.name, g.version, g.digest, g.spec, g.kit FROM given g LEFT JOIN before b USING (name, version)
    ORDER BY g.name, g.version
    ON CONFLICT (name, version) DO UPDATE SET digest = excluded.digest, spec = excluded.spec, kit = excluded.kit,
        changed_at = CASE WHEN t.digest = excluded.digest THEN t.changed_at ELSE now() END,
        seen_at = now(), retired_at = NULL
    WHERE t.digest <> excluded.digest OR t.retired_at IS NOT NULL OR t.seen_at < now() - interval '1 hour'
    RETURNING t.name, t.version, t.digest
)
SELECT w.name, w.version, b.digest AS before, w.digest AS after FROM written w JOIN before b USING (name, version)
WHERE b.digest <> w.digest ORDER BY w.name, w.version
""")


def write(conn: Connection, specs: Collection[TaskSpec], by: Actor) -> None:
    """Writes new and changed specs. Call it in a transaction.

    Of one name and version, the content that is written last stands; a change of it is logged and audited.
    """
    batch = [
        {"name": s.name, "version": s.version, "digest": s.digest, "spec": s.as_json(), "kit": s.kit} for s in specs
    ]
    for row in conn.execute(_WRITE, {"batch": orjson.dumps(batch).decode()}).all():
        digests = {"before": row.before, "after": row.after}
        log.warning("task_type_changed", task_name=row.name, version=row.version, **digests)
        audit.record(conn, by, Action.TASK_TYPE_CHANGED, row.name, version=row.version, **digests)


# `worker.task_types` is what releases before this registry read.
_WRITE_WORKER = sa.text("""
WITH given AS (
    SELECT * FROM json_to_recordset(CAST(:batch AS json)) AS x(name text, version integer)
), gone AS (
    DELETE FROM worker_type t WHERE t.worker_id = :worker_id AND t.name NOT IN (SELECT name FROM given)
), named AS (
    UPDATE worker SET task_types = ARRAY(SELECT name FROM given ORDER BY name) WHERE id = :worker_id
)
INSERT INTO worker_type AS t (worker_id, name, version)
SELECT :worker_id, name, version FROM given ORDER BY name
ON CONFLICT (worker_id, name) DO UPDATE SET version = excluded.version, since = now()
    WHERE t.version <> excluded.version
""")


def write_worker(conn: Connection, worker_id: UUID, types: Mapping[str, int]) -> None:
    """What a registered worker runs now: the version of each name."""
    batch = [{"name": name, "version": version} for name, version in types.items()]
    conn.execute(_WRITE_WORKER, {"worker_id": worker_id, "batch": orjson.dumps(batch).decode()})


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The registry as `catalogue.registry.TypeRegistry` compiles it. `specs` are by the digest that stands beside each
    in the ledger, `refused` are the digests of what is no spec: the next `read` fetches only the others."""

    specs: Mapping[str, TaskSpec]
    live: Sequence[Live]
    refused: frozenset[str] = frozenset()


# A row may hold whatever a worker's account can write. Its spec comes as text: one that the driver cannot decode
# would hide all others.
_SPEC = f"CASE WHEN octet_length(t.spec::text) <= {MAX_STORED_BYTES} THEN t.spec::text END"

_READ = sa.text(f"""
WITH live AS (
    SELECT t.name, t.version, array_agg(DISTINCT q.queue) AS queues
    FROM worker w JOIN worker_type t ON t.worker_id = w.id CROSS JOIN LATERAL unnest(w.queues) AS q(queue)
    WHERE {_IS_LIVE}
    GROUP BY t.name, t.version
)
SELECT t.name, t.version, t.digest, CASE WHEN t.digest = ANY(:known) THEN NULL ELSE {_SPEC} END AS spec, l.queues
FROM task_type t LEFT JOIN live l USING (name, version)
WHERE t.retired_at IS NULL AND (CAST(:name AS text) IS NULL OR t.name = :name) ORDER BY t.name, t.version
""")  # noqa: S608 constants only


def read(
    conn: Connection,
    *,
    lease: timedelta,
    known: Mapping[str, TaskSpec] | None = None,
    refused: Collection[str] = (),
    name: str | None = None,
) -> Snapshot:
    """The types that are not retired (all, or the versions of one name), and the live workers' queues, in one round
    trip. `known` and `refused`: those of the snapshot before.

    Checking new specs takes milliseconds of processor time each: keep it off event loops.
    """
    known = known or {}
    specs: dict[str, TaskSpec] = {}
    live: list[Live] = []
    unusable: set[str] = set()
    for row in conn.execute(_READ, {"lease": lease, "known": sorted({*known, *refused}), "name": name}):
        if row.digest in refused:
            unusable.add(row.digest)
            continue
        try:
            specs[row.digest] = known.get(row.digest) or spec_in(row.name, row.version, row.spec)
        except SpecRefused as e:
            unusable.add(row.digest)
            log.warning("task_type_unusable", task_name=row.name[:200], version=row.version, reason=e.reason)
            continue
        if row.queues:
            live.append(Live(row.name, row.version, row.queues))
    return Snapshot(specs, live, frozenset(unusable))


_LIVE = sa.text(f"""
SELECT DISTINCT t.name, t.version, q.queue
FROM worker w JOIN worker_type t ON t.worker_id = w.id CROSS JOIN LATERAL unnest(w.queues) AS q(queue)
WHERE {_IS_LIVE}
""")  # noqa: S608 constants only


def live_types(conn: Connection, *, lease: timedelta) -> dict[tuple[str, str], int]:
    """The newest version of each type that a live worker runs, by name and queue."""
    newest: dict[tuple[str, str], int] = {}
    for name, version, queue in conn.execute(_LIVE, {"lease": lease}):
        newest[name, queue] = max(version, newest.get((name, queue), 0))
    return newest


def names(conn: Connection) -> list[str]:
    """Those of the types that are not retired."""
    return list(conn.scalars(_NAMES))


_NAMES = sa.text(f"""
SELECT DISTINCT name FROM task_type WHERE retired_at IS NULL AND octet_length(name) <= {MAX_NAME_BYTES} ORDER BY name
""")  # noqa: S608 constants only

_USUAL_QUEUES = sa.text(f"""
SELECT DISTINCT ON (name) name, left(spec ->> 'queue', 100) AS queue FROM task_type
WHERE retired_at IS NULL AND octet_length(name) <= {MAX_NAME_BYTES} AND jsonb_typeof(spec -> 'queue') = 'string'
ORDER BY name, version DESC
""")  # noqa: S608 constants only


def usual_queues(conn: Connection) -> dict[str, str]:
    """The queue of each registered type, of its newest version."""
    return {row.name: row.queue for row in conn.execute(_USUAL_QUEUES)}


_LIST = sa.text(f"""
SELECT t.name, t.version, t.digest, t.kit, t.registered_at, t.changed_at, t.seen_at, t.retired_at, l.workers,
    CASE WHEN :specs THEN {_SPEC} END AS spec
FROM task_type t LEFT JOIN LATERAL (
    SELECT jsonb_agg(jsonb_build_object('worker', w.name, 'queues', w.queues, 'since', r.since) ORDER BY w.name, w.id)
        AS workers
    FROM worker_type r JOIN worker w ON w.id = r.worker_id
    WHERE r.name = t.name AND r.version = t.version AND {_IS_LIVE}
) l ON true
WHERE CAST(:name AS text) IS NULL OR t.name = :name ORDER BY t.name, t.version
""")  # noqa: S608 constants only


def listed(conn: Connection, *, lease: timedelta, name: str | None = None, specs: bool = False) -> list[dict[str, Any]]:
    """The versions of all types, or of one name, retired ones too; `workers` are the live ones that run each. `spec` is
    the stored text, for `spec_in`; None without `specs`."""
    rows = conn.execute(_LIST, {"lease": lease, "name": name, "specs": specs}).mappings()
    return [{**row, "workers": row["workers"] or []} for row in rows]


# Also what runs: retried, it waits for its type again.
_IS_OF_VERSION = "t.name = :name AND (CAST(:version AS integer) IS NULL OR t.version = :version)"
_WAITING = sa.text(f"""
SELECT count(*) FROM (
    SELECT FROM task t WHERE t.state IN ('blocked', 'scheduled', 'queued', 'retrying') AND {_IS_OF_VERSION}
    UNION ALL SELECT FROM {OF_LIVE_QUEUES} CROSS JOIN LATERAL (
        SELECT FROM task t WHERE {RUNS} AND {_IS_OF_VERSION} OFFSET 0) t LIMIT :counted
) t
""")  # noqa: S608 constants only


def waiting_tasks(conn: Connection, name: str, version: int | None = None) -> int:
    """How many tasks of this type (and version) have not ended; counted up to `COUNTED`."""
    values = {"name": name, "version": version, "counted": COUNTED}
    return int(conn.execute(_WAITING, values).scalar_one())


# A version without a live worker ages from the last pass that saw one.
_RETIRE = sa.text(f"""
WITH live AS MATERIALIZED (
    SELECT DISTINCT t.name, t.version FROM worker w JOIN worker_type t ON t.worker_id = w.id WHERE {_IS_LIVE}
), seen AS (
    UPDATE task_type t SET seen_at = now() FROM live l WHERE l.name = t.name AND l.version = t.version
)
UPDATE task_type t SET retired_at = now()
WHERE t.retired_at IS NULL AND t.seen_at < now() - CAST(:after AS interval)
    AND NOT EXISTS (SELECT FROM live l WHERE l.name = t.name AND l.version = t.version)
RETURNING t.name, t.version
""")  # noqa: S608 constants only


def retire(conn: Connection, *, lease: timedelta, after: timedelta = RETIRED_AFTER) -> list[tuple[str, int]]:
    """Retires the versions that no live worker has had for so long; their tasks stay as they are. A worker that
    registers one again brings it back. Call it every hour."""
    return [(row.name, row.version) for row in conn.execute(_RETIRE, {"lease": lease, "after": after})]


_FORGET = sa.text("""
DELETE FROM task_type WHERE name = :name AND version = ANY(:versions) RETURNING name, version, digest
""")
_LOCK = sa.text("""
SELECT version FROM task_type WHERE name = :name AND (CAST(:version AS integer) IS NULL OR version = :version)
ORDER BY version FOR UPDATE
""")


# By the name alone, as an erasure reads the marks: what one version marks holds for tasks of all of them. A parameter
# that a version which stays marks, too, is found as before.
_NAMES_PERSONS = sa.text(f"""
SELECT (EXISTS (SELECT FROM task t WHERE t.name = :name AND {NAMED})
    OR EXISTS (SELECT FROM {OF_LIVE_QUEUES} CROSS JOIN LATERAL (
        SELECT FROM task t WHERE {RUNS} AND t.name = :name OFFSET 0) t)) AND EXISTS (
    SELECT parameter FROM ({PERSONS_MARKED}) m WHERE name = :name AND version = ANY(:versions)
    EXCEPT SELECT parameter FROM ({PERSONS_MARKED}) m WHERE name = :name AND version <> ALL(:versions))
""")  # noqa: S608 constants only


@dataclass(frozen=True, slots=True)
class Forgetting:
    """What forgetting a type means: its `versions`, the live `workers` that still have one, the tasks that `wait`.
    `names_persons`: its marks say whose some tasks of the ledger are, and an erasure needs them."""

    versions: Sequence[int]
    workers: Sequence[str]
    waiting: int
    names_persons: bool

    @property
    def is_possible(self) -> bool:
        return bool(self.versions) and not self.workers and not self.names_persons


def forget(
    conn: Connection, name: str, version: int | None, by: Actor, *, lease: timedelta, dry_run: bool = False
) -> Forgetting:
    """Deletes a type (or one version of it) that no live worker has, with an audit row. Its tasks stay; where their
    parameters name a person, the type stays, too. Call it in a transaction."""
    versions = list(conn.execute(_LOCK, {"name": name, "version": version}).scalars())
    rows = listed(conn, lease=lease, name=name)
    workers = sorted({w["worker"] for row in rows if row["version"] in versions for w in row["workers"]})
    names_persons = conn.execute(_NAMES_PERSONS, {"name": name, "versions": versions}).scalar_one()
    found = Forgetting(versions, workers, waiting_tasks(conn, name, version), names_persons)
    if found.is_possible and not dry_run:
        for row in conn.execute(_FORGET, {"name": name, "versions": versions}).all():
            details = {"version": row.version, "digest": row.digest, "waiting_tasks": found.waiting}
            audit.record(conn, by, Action.TASK_TYPE_FORGET, name, **details)
    return found

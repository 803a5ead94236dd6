# ruff: noqa: S608 - the statement is put together from constants of this package; every value is bound
"""archive: final tasks leave the ledger, once a file holds them, or without one where the operator wants none.

No edge of the transition table: the rows go, and what hangs on them with them. A task that moved after it was written
into the file (a retry, a discard) does not fit its line any more, and stays.

A workflow goes with the first of its steps, so that none is run again whose results are partly gone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Connection

from ..store import task_archives
from ..store.old_tasks import OLD_TASK, OLD_WORKFLOW, SETTLED, WAITED_FOR, Ages
from ..store.task_archives import TaskArchive


@dataclass(frozen=True, slots=True)
class Archived:
    """A task as its line in a file has it. Times are texts as PostgreSQL reads them."""

    id: UUID
    publication: int
    finished_at: str
    discarded_at: str | None


class FileDeleted(Exception):
    """The tree item that holds the archive's tasks is gone."""


_WAITED_FOR = WAITED_FOR.format(ids="(SELECT unnest(CAST(:ids AS uuid[])) AS id)")
_GONE = """), gone AS (
    DELETE FROM task USING locked WHERE task.id = locked.id RETURNING task.id
), attempts AS (DELETE FROM task_attempt WHERE task_id IN (SELECT id FROM gone)
), events AS (DELETE FROM task_event WHERE task_id IN (SELECT id FROM gone)
), progress AS (DELETE FROM task_progress WHERE task_id IN (SELECT id FROM gone)
), marks AS (DELETE FROM task_mark WHERE task_id IN (SELECT id FROM gone)
), keys AS (DELETE FROM unique_key WHERE task_id IN (SELECT id FROM gone)
), steps AS (DELETE FROM workflow_step WHERE task_id IN (SELECT id FROM gone) RETURNING workflow_id
), flows AS (DELETE FROM workflow WHERE id IN (SELECT workflow_id FROM steps)
), flow_events AS (DELETE FROM workflow_event WHERE workflow_id IN (SELECT workflow_id FROM steps)
)
SELECT count(*) FROM gone"""
# Locked in the order of their ids, as all verbs lock tasks. A row that another verb holds is waited for, and looked at
# anew. Their workflows are held, so that none is run again meanwhile: a retry locks its workflow behind the tasks, and
# where the two meet, one of them is tried again.
_DELETE = sa.text(f"""
WITH waited_for AS MATERIALIZED ({_WAITED_FOR}
), held AS MATERIALIZED (
    SELECT f.id FROM workflow f
    WHERE f.id = ANY(ARRAY(SELECT DISTINCT workflow_id FROM task WHERE id = ANY(CAST(:ids AS uuid[]))))
        AND f.finished_at IS NOT NULL
    ORDER BY f.id FOR UPDATE
), locked AS (
    SELECT t.id FROM task t
    JOIN unnest(CAST(:ids AS uuid[]), CAST(:publications AS int[]), CAST(:finished AS timestamptz[]),
        CAST(:discarded AS timestamptz[])) AS l(id, publication, finished_at, discarded_at) ON l.id = t.id
    WHERE t.state IN ('succeeded', 'failed', 'cancelled') AND t.publication = l.publication
        AND t.finished_at = l.finished_at AND t.discarded_at IS NOT DISTINCT FROM l.discarded_at AND {SETTLED}
        AND NOT EXISTS (SELECT FROM workflow f WHERE f.id = t.workflow_id AND f.id <> ALL(ARRAY(SELECT id FROM held)))
    ORDER BY t.id FOR UPDATE OF t
{_GONE}
""")

# A row that another verb holds is left to the next run: the removal waits for no lock. The ages are asked again, of the
# row as it is when it is locked.
_REMOVE = sa.text(f"""
WITH waited_for AS MATERIALIZED ({_WAITED_FOR}
), held AS MATERIALIZED (
    SELECT f.id FROM workflow f
    WHERE f.id = ANY(ARRAY(SELECT DISTINCT workflow_id FROM task WHERE id = ANY(CAST(:ids AS uuid[]))))
        AND {OLD_WORKFLOW}
    ORDER BY f.id FOR UPDATE SKIP LOCKED
), locked AS (
    SELECT t.id FROM task t
    WHERE t.id = ANY(CAST(:ids AS uuid[])) AND t.state IN ('succeeded', 'failed', 'cancelled') AND {SETTLED}
        AND (t.workflow_id = ANY(ARRAY(SELECT id FROM held))
            OR {OLD_TASK} AND NOT EXISTS (SELECT FROM workflow f WHERE f.id = t.workflow_id))
    ORDER BY t.id FOR UPDATE OF t SKIP LOCKED
{_GONE}
""")


def delete_archived(conn: Connection, archive: TaskArchive, tasks: Sequence[Archived]) -> int:
    """Deletes those of the tasks that are still as the file of this archive has them; returns how many. In a
    transaction of the caller's. Raises Fenced where another attempt has taken the archive over, and FileDeleted."""
    task_archives.count_deleted(conn, archive, 0)
    if not task_archives.lock_file(conn, archive):
        raise FileDeleted("the item of this archive was deleted")
    given = {
        "ids": [task.id for task in tasks],
        "publications": [task.publication for task in tasks],
        "finished": [task.finished_at for task in tasks],
        "discarded": [task.discarded_at for task in tasks],
    }
    gone: int = conn.execute(_DELETE, given).scalar_one()
    task_archives.count_deleted(conn, archive, gone)
    return gone


def remove_old(conn: Connection, ids: Sequence[UUID], ages: Ages) -> int:
    """Deletes those of the tasks that are as old as `ages` say; returns how many."""
    gone: int = conn.execute(_REMOVE, {"ids": list(ids), **ages.intervals()}).scalar_one()
    return gone

"""Runs of the selection types whose tasks are gone: what their records go on to tell."""

from __future__ import annotations

from sqlalchemy import ARRAY, DDL, Column, Double, Index, SmallInteger, Table, Text, Uuid, event
from sqlalchemy.dialects.postgresql import JSONB

from .schema import TIME, metadata

selection_run = Table(
    "selection_run",
    metadata,
    Column("id", Uuid, primary_key=True, comment="of its task"),
    Column("name", Text, nullable=False),
    Column("version", SmallInteger, nullable=False),
    Column("queue", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("submitted_by", Text),
    Column("created_at", TIME, nullable=False),
    Column("finished_at", TIME, nullable=False),
    Column("result", JSONB),
    Column("error", JSONB),
    Column("progress_current", Double),
    Column("progress_total", Double),
    Column("messages", ARRAY(Text), nullable=False),
    Index("ix_selection_run_name", "name", "state", "id"),
    comment="runs whose tasks are gone: a trigger of task writes them",
)

# A trigger, so that no way of removing a task can forget the record. Only deletes of tasks of these types call it: no
# other statement on `task` does more for it. The record takes the messages and the progress that `store.selection_runs`
# reads while the task is there: delete the row of a task before its rows of `task_event` and `task_progress`
# (docs/contributing/deletion.md).
_KEEP = """
CREATE FUNCTION keep_selection_run() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    DELETE FROM selection_run WHERE id = OLD.id; -- of an earlier task with the same id
    INSERT INTO selection_run (id, name, version, queue, state, submitted_by, created_at, finished_at, result,
        error, progress_current, progress_total, messages)
    SELECT OLD.id, OLD.name, OLD.version, OLD.queue, OLD.state, OLD.submitted_by, OLD.created_at, OLD.finished_at,
        OLD.result, OLD.error, p.current, p.total, ARRAY(
            SELECT m.message FROM (
                SELECT e.id, left(e.data ->> 'message', 1000) AS message FROM task_event e
                WHERE e.task_id = OLD.id AND e.kind IN ('log', 'stage') AND e.data ->> 'message' <> ''
                ORDER BY e.id DESC LIMIT 100
            ) m ORDER BY m.id)
    FROM (SELECT) one LEFT JOIN task_progress p ON p.task_id = OLD.id AND p.attempt = OLD.attempt;
    RETURN OLD;
END $$
"""
_KEPT = """
CREATE TRIGGER selection_runs_are_kept BEFORE DELETE ON task FOR EACH ROW
WHEN (OLD.finished_at IS NOT NULL
    AND OLD.name IN ('selection.load_gsheet', 'selection.run_select', 'selection.manage_old_tabs'))
EXECUTE FUNCTION keep_selection_run()
"""
# Once all tables are there.
for _statement in (_KEEP, _KEPT):
    event.listen(metadata, "after_create", DDL(_statement))  # type: ignore[no-untyped-call]

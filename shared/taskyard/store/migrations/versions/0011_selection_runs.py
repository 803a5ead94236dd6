"""selection runs

Their records outlive their tasks: a trigger keeps what is left of them. It fires for deletes of tasks of three types.

Revision ID: 0011
Revises: 0010
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "selection_run",
        sa.Column("id", sa.Uuid(), nullable=False, comment="of its task"),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("version", sa.SmallInteger(), nullable=False),
        sa.Column("queue", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("submitted_by", sa.Text()),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("finished_at", TIME, nullable=False),
        sa.Column("result", postgresql.JSONB()),
        sa.Column("error", postgresql.JSONB()),
        sa.Column("progress_current", sa.Double()),
        sa.Column("progress_total", sa.Double()),
        sa.Column("messages", sa.ARRAY(sa.Text()), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_selection_run"),
        comment="runs whose tasks are gone: a trigger of task writes them",
    )
    op.create_index("ix_selection_run_name", "selection_run", ["name", "state", "id"])
    connection = op.get_bind()
    ledger = connection.execute(
        sa.text("SELECT CAST(relnamespace::regnamespace AS text) FROM pg_class WHERE oid = CAST('task' AS regclass)")
    ).scalar_one()
    # The function finds these tables, whatever the path of the session that deletes a task.
    usual = connection.execute(sa.text("SELECT current_setting('search_path')")).scalar_one()
    set_path = sa.text("SELECT set_config('search_path', :path, true)")
    connection.execute(set_path, {"path": f"{ledger}, pg_temp"})
    # It reads `task_event` and `task_progress`: delete a task's row before these (docs/contributing/deletion.md).
    op.execute("""
        CREATE FUNCTION keep_selection_run() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
        BEGIN
            DELETE FROM selection_run WHERE id = OLD.id; -- of an earlier task with the same id
            INSERT INTO selection_run (id, name, version, queue, state, submitted_by, created_at, finished_at,
                result, error, progress_current, progress_total, messages)
            SELECT OLD.id, OLD.name, OLD.version, OLD.queue, OLD.state, OLD.submitted_by, OLD.created_at,
                OLD.finished_at, OLD.result, OLD.error, p.current, p.total, ARRAY(
                    SELECT m.message FROM (
                        SELECT e.id, left(e.data ->> 'message', 1000) AS message FROM task_event e
                        WHERE e.task_id = OLD.id AND e.kind IN ('log', 'stage') AND e.data ->> 'message' <> ''
                        ORDER BY e.id DESC LIMIT 100
                    ) m ORDER BY m.id)
            FROM (SELECT) one LEFT JOIN task_progress p ON p.task_id = OLD.id AND p.attempt = OLD.attempt;
            RETURN OLD;
        END $$
    """)
    op.execute("""
        CREATE TRIGGER selection_runs_are_kept BEFORE DELETE ON task FOR EACH ROW
        WHEN (OLD.finished_at IS NOT NULL
            AND OLD.name IN ('selection.load_gsheet', 'selection.run_select', 'selection.manage_old_tabs'))
        EXECUTE FUNCTION keep_selection_run()
    """)
    connection.execute(set_path, {"path": usual})


def downgrade() -> None:
    op.execute("DROP TRIGGER selection_runs_are_kept ON task")
    op.execute("DROP FUNCTION keep_selection_run()")
    op.drop_table("selection_run")

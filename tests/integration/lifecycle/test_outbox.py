"""The outbox's other end: what was not published by who committed it."""

from __future__ import annotations

from datetime import timedelta

import sqlalchemy as sa
from sqlalchemy import Connection

from taskyard.domain.tasks import Publication, State
from taskyard.lifecycle import cancel, publish, submit

from .rows import Worker, new, outbox, put

NOW = timedelta(0)


def age(conn: Connection, seconds: int) -> None:
    conn.execute(sa.text("UPDATE outbox SET created_at = now() - :s * interval '1 second'"), {"s": seconds})


def test_young_rows_are_left_to_who_committed_them(conn: Connection) -> None:
    submit.submit(conn, [new()])
    assert publish.overdue(conn) == publish.Overdue([], [])
    age(conn, 11)
    assert len(publish.overdue(conn).publications) == 1


def test_overdue_rows_come_in_order_with_what_is_still_queued(conn: Connection, worker: Worker) -> None:
    first = submit.submit(conn, [new() for _ in range(3)])
    second = submit.submit(conn, [new()])
    ran, stopped = first.answer[0].id, first.answer[1].id
    worker.claim([ran])
    cancel.cancel(conn, [stopped])
    found = publish.overdue(conn, older_than=NOW)
    assert found.outbox_ids == [*first.outbox_ids, *second.outbox_ids]
    assert found.publications == [first.publications[2], second.publications[0]]


def test_a_row_whose_tasks_are_all_over_is_found_to_be_deleted(conn: Connection) -> None:
    done = submit.submit(conn, [new()])
    cancel.cancel(conn, [done.answer[0].id])
    found = publish.overdue(conn, older_than=NOW)
    assert (found.outbox_ids, found.publications) == (done.outbox_ids, [])
    publish.delete(conn, found.outbox_ids)
    publish.delete(conn, [])
    assert not outbox(conn)


def test_a_task_queued_again_is_relayed_under_its_newest_number(conn: Connection) -> None:
    task_id = put(conn, State.QUEUED, publication=7)
    conn.execute(sa.text("INSERT INTO outbox (task_ids) VALUES (ARRAY[CAST(:id AS uuid)])"), {"id": task_id})
    assert publish.overdue(conn, older_than=NOW).publications == [Publication(task_id, "default", 7)]


def test_a_look_takes_no_more_than_its_limit_and_begins_at_the_low_water_mark(conn: Connection) -> None:
    done = [submit.submit(conn, [new()]).outbox_ids[0] for _ in range(5)]
    assert publish.overdue(conn, older_than=NOW, limit=2).outbox_ids == done[:2]
    assert publish.overdue(conn, older_than=NOW, low_water=done[2]).outbox_ids == done[3:]

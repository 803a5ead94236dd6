"""Attempts are counted over time: each exactly once in each window, whatever becomes of the leader."""

import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy as sa
from sqlalchemy import Engine

from taskyard.domain.error_groups import MOST_PLACES, Group
from taskyard.domain.statistics import BOUNDS
from taskyard.domain.tasks import Failed, FailureKind, Fault, Outcome, RetryIn, Succeeded
from taskyard.lifecycle.finish import Finished, finish
from taskyard.store import ledger
from taskyard_scheduler.leader import LeadershipLost
from taskyard_scheduler.retention import Retention
from taskyard_scheduler.statistics import Statistics, count_page, first_before
from tests.support.scheduling import LeaderParts, claim_all, execute, make_worker, put_in, scalar

ATTEMPT = """
INSERT INTO task_attempt (task_id, attempt, outcome, queue, finished_at, error)
VALUES (gen_random_uuid(), 1, :outcome, :queue, now() - CAST(:ago AS float8) * interval '1 second',
    CAST(:error AS jsonb))
"""
SPANS = ("hour", "day", "month")


def attempt(engine: Engine, outcome: str = "succeeded", *, ago: float = 0, error: str | None = None) -> None:
    execute(engine, ATTEMPT, outcome=outcome, queue="default", ago=ago, error=error)


def end(engine: Engine, outcome: Outcome, *, run_seconds: float = 1.0) -> Any:
    """A task that waited and ran."""
    (task,) = put_in(engine, 1).answer
    token = claim_all(engine, make_worker(engine), [task.id])
    ledger.run(engine, lambda conn: finish(conn, [Finished(task.id, token, outcome, run_seconds)]))
    return task.id


def counted(engine: Engine, column: str = "succeeded") -> list[int]:
    """In each span."""
    return [scalar(engine, f"SELECT coalesce(sum({column}), 0) FROM task_count WHERE span = '{s}'") for s in SPANS]


@pytest.fixture
def statistics(leader: LeaderParts) -> Statistics:
    made = Statistics(leader.leadership, leader.database)
    made.turn()  # notes where it begins
    return made


def test_attempts_are_counted_by_outcome(statistics: Statistics, engine: Engine) -> None:
    for outcome in ("succeeded", "succeeded", "failed", "retrying", "crashed", "cancelled", "released", "suspected"):
        attempt(engine, outcome)
    statistics.turn()
    statistics.turn()
    found = {column: counted(engine, column) for column in ("succeeded", "failed", "retried", "crashed", "cancelled")}
    ones = [1, 1, 1]
    assert found == {"succeeded": [2, 2, 2], "failed": ones, "retried": ones, "crashed": ones, "cancelled": ones}


def test_a_ledger_that_was_never_counted_is_counted_from_an_hour_ago(leader: LeaderParts, engine: Engine) -> None:
    for ago in (7_200, 3_700, 3_500, 60):  # as ids follow time
        attempt(engine, ago=ago)
    Statistics(leader.leadership, leader.database).turn()
    assert counted(engine) == [2, 2, 2]


def test_run_time_and_wait_are_counted_in_buckets_with_their_sums(statistics: Statistics, engine: Engine) -> None:
    for seconds in (0.3, 0.3, 20.0):
        end(engine, Succeeded({}), run_seconds=seconds)
    execute(
        engine,
        "UPDATE task SET queued_at = (SELECT started_at FROM task_attempt a WHERE a.task_id = task.id)"
        " - interval '5 seconds'",
    )
    statistics.turn()
    row = execute(engine, "SELECT * FROM task_count WHERE span = 'hour'").mappings().one()
    assert (row["name"], row["queue"]) == ("diagnostics.echo", "default")
    assert row["run_seconds"] == pytest.approx(20.6, abs=0.01)
    assert row["wait_seconds"] == pytest.approx(15, abs=0.01)
    for column, expected in (("runs", {0.3: 2, 20.0: 1}), ("waits", {5.0: 3})):
        buckets = {n: count for n, count in enumerate(row[column]) if count}
        assert buckets == {sum(bound <= value for bound in BOUNDS): count for value, count in expected.items()}


def test_the_wait_of_an_attempt_is_not_told_once_its_task_is_queued_again(
    statistics: Statistics, engine: Engine
) -> None:
    end(engine, Succeeded({}))
    execute(engine, "UPDATE task SET queued_at = now() + interval '1 second'")
    statistics.turn()
    assert scalar(engine, "SELECT waits FROM task_count WHERE span = 'hour'") == []


def test_a_change_of_leader_in_the_middle_of_a_minute_counts_each_attempt_once(
    leader: LeaderParts, statistics: Statistics, engine: Engine
) -> None:
    for _ in range(3):
        attempt(engine)
    statistics.turn()
    for _ in range(4):
        attempt(engine)
    leader.leadership.resign()
    second = leader.candidate("second")
    second.campaign()
    Statistics(second, leader.database, page=3).turn()
    with pytest.raises(LeadershipLost):
        statistics.turn()
    second.resign()
    leader.leadership.campaign()
    attempt(engine)
    statistics.turn()
    statistics.turn()
    assert counted(engine) == [8, 8, 8]


def test_two_that_take_themselves_for_the_leader_count_each_attempt_once(
    statistics: Statistics, engine: Engine
) -> None:
    for _ in range(200):
        attempt(engine, "failed", error='{"code": "boom"}')
    upto = scalar(engine, "SELECT max(id) FROM task_attempt")

    def count(_: int) -> None:
        while ledger.run_transaction(engine, lambda conn: count_page(conn, upto=upto, page=7)):
            pass

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(count, range(2)))
    assert counted(engine, "failed") == [200, 200, 200]
    assert scalar(engine, "SELECT failures FROM error_group") == 200


def test_a_page_that_fails_leaves_no_counts_behind(
    statistics: Statistics, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempt(engine)

    def refuse(*_: object, **__: object) -> None:
        raise RuntimeError("the database went away")

    with monkeypatch.context() as patched:
        patched.setattr("taskyard_scheduler.statistics.count_errors", refuse)
        with pytest.raises(RuntimeError):
            statistics.turn()
    assert counted(engine) == [0, 0, 0]
    statistics.turn()
    assert counted(engine) == [1, 1, 1]


def test_an_attempt_that_commits_late_is_counted(statistics: Statistics, engine: Engine) -> None:
    with ledger.transaction(engine) as slow:
        slow.execute(sa.text(ATTEMPT), {"outcome": "succeeded", "queue": "default", "ago": 0, "error": None})
        attempt(engine)
        statistics.turn()
        statistics.turn()
    statistics.turn()
    statistics.turn()
    assert counted(engine) == [2, 2, 2]


@pytest.mark.long
def test_a_hundred_thousand_attempts_are_counted_in_bounded_memory(statistics: Statistics, engine: Engine) -> None:
    """Of as many places as attempts: the worst that a page can hold."""
    execute(
        engine,
        "INSERT INTO task_attempt (task_id, attempt, outcome, queue, started_at, error)"
        " SELECT gen_random_uuid(), 1, 'failed', 'default', now() - n * interval '1 millisecond',"
        " jsonb_build_object('code', 'boom', 'place', 'billing.invoices:send_' || n)"
        " FROM generate_series(1, 100000) n",
    )
    tracemalloc.start()
    try:
        statistics.turn()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert counted(engine, "failed") == [100_000] * 3
    assert peak < 64 * 1024 * 1024
    assert scalar(engine, "SELECT count(*) FROM error_group") == MOST_PLACES + 1
    assert scalar(engine, "SELECT sum(failures) FROM error_group") == 100_000


def test_the_first_attempt_of_a_time_is_found_by_binary_search(engine: Engine) -> None:
    for ago in range(50, 0, -1):
        attempt(engine, ago=ago * 10)
    top = scalar(engine, "SELECT max(id) FROM task_attempt")
    with engine.connect() as conn:
        moment = datetime.now(UTC) - timedelta(seconds=205)
        found = first_before(conn, moment, top)
        assert first_before(conn, datetime.now(UTC), top) == top
        assert first_before(conn, moment - timedelta(days=1), top) < top - 49
    assert found == top - 20


# Groups of failures


def fault(code: str = "boom", place: str | None = "billing:send") -> Fault:
    return Fault(code, "It failed.", "Boom", retryable=True, kind=FailureKind.EXCEPTION, place=place)


def groups(engine: Engine) -> list[Any]:
    return list(execute(engine, "SELECT * FROM error_group ORDER BY code, place").mappings())


def test_failures_are_grouped_by_type_code_and_place(statistics: Statistics, engine: Engine) -> None:
    end(engine, Failed(fault()))
    last = end(engine, RetryIn(fault(), timedelta(minutes=1)))
    end(engine, Failed(fault(place="billing:pay")))
    end(engine, Failed(fault("other_code", None)))
    end(engine, Succeeded({}))
    statistics.turn()
    found = groups(engine)
    assert [(g["name"], g["code"], g["place"], g["failures"]) for g in found] == [
        ("diagnostics.echo", "boom", "billing:pay", 1),
        ("diagnostics.echo", "boom", "billing:send", 2),
        ("diagnostics.echo", "other_code", "", 1),
    ]
    assert found[1]["task_ids"][0] == last
    assert found[1]["first_seen_at"] < found[1]["last_seen_at"]
    per_span = execute(engine, "SELECT span, sum(failures) FROM error_count GROUP BY span ORDER BY span").all()
    assert per_span == [("day", 4), ("hour", 4), ("month", 4)]


def test_a_task_that_asks_for_another_attempt_has_not_failed_yet(statistics: Statistics, engine: Engine) -> None:
    end(engine, RetryIn(fault("retry_requested"), timedelta(minutes=1)))
    statistics.turn()
    assert groups(engine) == []
    end(engine, Failed(fault("retry_requested")))
    statistics.turn()
    assert [group["failures"] for group in groups(engine)] == [1]


def test_a_failure_after_a_group_was_solved_brings_it_back(statistics: Statistics, engine: Engine) -> None:
    end(engine, Failed(fault()))
    execute(engine, "SELECT pg_sleep(0.01)")
    statistics.turn()
    execute(engine, "UPDATE error_group SET solved_at = now(), solved_by = 'ada'")
    attempt(engine, "failed", ago=60, error='{"code": "boom", "place": "billing:send"}')
    execute(
        engine,
        "UPDATE error_group SET name = '_other', id = :id",
        id=Group("default", "_other", "boom", "billing:send").id,
    )
    statistics.turn()
    assert groups(engine)[0]["returned_at"] is None, "it ended before"
    attempt(engine, "failed", error='{"code": "boom", "place": "billing:send"}')
    statistics.turn()
    (group,) = groups(engine)
    assert group["returned_at"] == group["last_seen_at"] > group["solved_at"]
    attempt(engine, "failed", error='{"code": "boom", "place": "billing:send"}')
    statistics.turn()
    assert groups(engine)[0]["returned_at"] == group["returned_at"], "since when is not forgotten"


def test_a_task_that_is_gone_is_counted_by_its_attempt(statistics: Statistics, engine: Engine) -> None:
    execute(engine, "DELETE FROM task WHERE id = :id", id=end(engine, Failed(fault())) or uuid4())
    statistics.turn()
    assert [group["name"] for group in groups(engine)] == ["_other"]


def test_points_and_groups_are_kept_for_twice_their_window(leader: LeaderParts, engine: Engine) -> None:
    for span, ages in {
        "hour": ("119 minutes", "3 hours"),
        "day": ("47 hours", "49 hours"),
        "month": ("61 days", "63 days"),
    }.items():
        for age in ages:
            execute(
                engine,
                "INSERT INTO task_count (span, at, queue, name, runs, waits)"
                f" VALUES (:span, now() - interval '{age}', 'default', :age, '{{}}', '{{}}')",
                span=span,
                age=age,
            )
            execute(
                engine,
                "INSERT INTO error_count (group_id, span, at, failures)"
                f" VALUES (gen_random_uuid(), :span, now() - interval '{age}', 1)",
                span=span,
            )
    for age in ("61 days", "63 days"):
        execute(
            engine,
            "INSERT INTO error_group"
            " (id, queue, name, code, place, failures, first_seen_at, last_seen_at, task_ids)"
            f" VALUES (gen_random_uuid(), 'q', 'n', '{age}', '', 1, now(), now() - interval '{age}', '{{}}')",
        )
    Retention(leader.leadership, lease=timedelta(seconds=20)).turn()
    kept = execute(engine, "SELECT name FROM task_count ORDER BY name").scalars().all()
    assert kept == ["119 minutes", "47 hours", "61 days"]
    assert scalar(engine, "SELECT count(*) FROM error_count") == 3
    assert scalar(engine, "SELECT string_agg(code, ',') FROM error_group") == "61 days"

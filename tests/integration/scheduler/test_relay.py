"""What was committed is published, even if the process that committed it died."""

import threading
import time
from datetime import timedelta

import pytest
from sqlalchemy import Engine

from taskyard.domain.errors import BrokerFull, BrokerUnavailable
from taskyard.store import ledger
from taskyard_scheduler.marks import SettledMark
from taskyard_scheduler.relay import Relay
from tests.support.scheduling import LeaderParts, execute, put_in, scalar


def make_relay(leader: LeaderParts) -> Relay:
    return Relay(leader.leadership, leader.publisher, leader.database, leader.metrics)


def last_id(engine: Engine) -> int:
    """The id that was assigned last; earlier tests may have used some."""
    return int(scalar(engine, "SELECT last_value FROM outbox_id_seq"))


def test_an_unpublished_commit_is_published_after_ten_seconds(leader: LeaderParts, engine: Engine) -> None:
    submitted = put_in(engine, 3)
    relay = make_relay(leader)
    relay.turn()
    assert leader.messages() == []  # the submitter may still publish it
    assert leader.value("outbox_pending") == 1

    leader.age(10)
    relay.turn()
    assert leader.messages() == [p.message_id for p in submitted.publications]
    assert scalar(engine, "SELECT count(*) FROM outbox") == 0
    assert leader.value("outbox_relayed_total") == 3
    assert leader.value("outbox_pending") == 0


def test_what_is_no_longer_queued_is_not_published(leader: LeaderParts, engine: Engine) -> None:
    gone, stays = put_in(engine, 2).publications
    execute(engine, "UPDATE task SET state = 'cancelled', finished_at = now() WHERE id = :id", id=gone.task_id)
    leader.age(10)
    make_relay(leader).turn()
    assert leader.messages() == [stays.message_id]
    assert scalar(engine, "SELECT count(*) FROM outbox") == 0


def test_more_rows_than_one_batch_are_all_relayed(leader: LeaderParts, engine: Engine) -> None:
    for _ in range(230):
        put_in(engine, 1)
    leader.age(10)
    relay = make_relay(leader)
    relay.turn()
    assert len(leader.messages()) == 230
    assert relay.backlog is False
    assert relay.low_water == last_id(engine)


def test_rows_stay_while_redis_is_unreachable(
    leader: LeaderParts, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_in(engine, 1)
    leader.age(10)
    relay = make_relay(leader)

    def refuse(*_: object) -> int:
        raise BrokerUnavailable("away")

    with monkeypatch.context() as away:
        away.setattr(leader.publisher, "publish", refuse)
        with pytest.raises(BrokerUnavailable):
            relay.turn()
    assert relay.backlog is True
    assert leader.value("outbox_pending") == 1
    oldest = leader.value("outbox_oldest_timestamp_seconds")
    assert oldest is not None
    assert time.time() - oldest > 9
    assert scalar(engine, "SELECT count(*) FROM outbox") == 1
    relay.turn()
    assert len(leader.messages()) == 1


def test_a_row_that_commits_late_with_a_low_id_is_relayed(leader: LeaderParts, engine: Engine) -> None:
    """The low-water mark must not pass an id whose transaction is open, however many later ones commit."""
    relay = make_relay(leader)
    with ledger.transaction(engine) as slow:
        slow.exec_driver_sql("INSERT INTO outbox (task_ids) VALUES ('{}')")
        low = last_id(engine)
        for _ in range(5):
            put_in(engine, 1)
        leader.age(10)
        for _ in range(3):
            relay.turn()
        assert relay.low_water < low
        assert scalar(engine, "SELECT count(*) FROM outbox") == 0
    leader.age(10)
    relay.turn()
    assert scalar(engine, "SELECT count(*) FROM outbox") == 0
    relay.turn()
    assert relay.low_water == low + 5


def test_the_low_water_mark_stops_below_what_still_waits(leader: LeaderParts, engine: Engine) -> None:
    put_in(engine, 1)
    leader.age(10)
    relay = make_relay(leader)
    relay.turn()
    put_in(engine, 1)  # young: not relayed yet
    for _ in range(3):
        relay.turn()
    assert relay.low_water == last_id(engine) - 1
    assert leader.value("outbox_pending") == 1


def test_the_mark_is_reset_on_another_postgresql(leader: LeaderParts, engine: Engine) -> None:
    """After a failover the sequence may assign ids again that lie below the mark."""
    put_in(engine, 5)
    leader.age(10)
    relay = make_relay(leader)
    relay.turn()
    relay.turn()
    execute(engine, "ALTER SEQUENCE outbox_id_seq RESTART WITH 1")
    put_in(engine, 1)
    leader.age(10)
    relay.turn()
    assert scalar(engine, "SELECT count(*) FROM outbox") == 1  # below the mark: not seen
    leader.database.changes += 1
    relay.turn()
    assert scalar(engine, "SELECT count(*) FROM outbox") == 0


def test_a_mark_never_passes_an_open_transaction(engine: Engine) -> None:
    """Writers commit in any order; the number of rows below the mark never grows afterwards."""
    mark = SettledMark("outbox", "outbox_id_seq")
    stop = threading.Event()
    failures: list[BaseException] = []

    def write(seed: int) -> None:
        try:
            while not stop.is_set():
                with ledger.transaction(engine) as conn:
                    conn.exec_driver_sql("INSERT INTO outbox (task_ids) VALUES ('{}')")
                    stop.wait(0.001 * seed)
        except BaseException as e:  # noqa: BLE001 - asserted below
            failures.append(e)

    writers = [threading.Thread(target=write, args=(n,)) for n in range(4)]
    for writer in writers:
        writer.start()
    counts: dict[int, int] = {}
    try:
        for _ in range(150):
            with ledger.connection(engine) as conn:
                upto = mark.advance(conn)
            counts[upto] = scalar(engine, "SELECT count(*) FROM outbox WHERE id <= :upto", upto=upto)
    finally:
        stop.set()
        for writer in writers:
            writer.join()
    assert not failures
    assert len(counts) > 10, "the mark did not move"
    for upto, count in counts.items():
        assert scalar(engine, "SELECT count(*) FROM outbox WHERE id <= :upto", upto=upto) == count


def test_the_age_at_which_rows_are_relayed_can_be_set(leader: LeaderParts, engine: Engine) -> None:
    relay = Relay(
        leader.leadership,
        leader.publisher,
        leader.database,
        leader.metrics,
        overdue_after=timedelta(seconds=60),
    )
    put_in(engine, 1)
    leader.age(59)
    relay.turn()
    assert leader.messages() == []


def test_a_full_redis_is_told_from_one_that_does_not_answer(leader: LeaderParts, engine: Engine) -> None:
    put_in(engine, 1)
    leader.age(10)
    before = str(leader.client.config_get("maxmemory")["maxmemory"])
    leader.client.config_set("maxmemory", 1)
    try:
        with pytest.raises(BrokerFull):
            make_relay(leader).turn()
    finally:
        leader.client.config_set("maxmemory", before)
    make_relay(leader).turn()
    assert len(leader.messages()) == 1

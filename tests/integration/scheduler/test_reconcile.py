"""What Redis lost is published again, and nothing else is."""

import random
import threading
import time
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Engine

from taskyard.broker.connect import make_redis
from taskyard.broker.publisher import Publisher
from taskyard.domain.tasks import Publication
from taskyard_scheduler.queued_tasks import PAGE, QueuedTasks
from taskyard_scheduler.rebuild import Rebuild
from taskyard_scheduler.reconcile import Reconcile
from taskyard_scheduler.reconcile_cli import Report, reconcile_once
from tests.support.fleet import wait_for
from tests.support.scheduling import LeaderParts, claim_all, execute, make_worker, put_in, scalar


def make_rebuild(leader: LeaderParts) -> Rebuild:
    return Rebuild(
        leader.leadership,
        leader.publisher,
        leader.database,
        leader.tasks,
        leader.metrics,
        leader.dependencies.broker,
    )


def make_reconcile(leader: LeaderParts) -> Reconcile:
    return Reconcile(
        leader.leadership,
        leader.dispatcher,
        leader.database,
        leader.tasks,
        leader.metrics,
        wait_for=lambda: False,
        clock=leader.clock,
    )


def by_hand(leader: LeaderParts, engine: Engine, *, dry_run: bool = True) -> Report:
    return reconcile_once(engine, leader.publisher, leader.tasks, dry_run=dry_run, second_look_seconds=0.01)


def publish(leader: LeaderParts, engine: Engine, count: int, *, queue: str = "default") -> list[str]:
    """Tasks in the state in which they are a while after their submission."""
    publications = put_in(engine, count, queue=queue).publications
    leader.publisher.publish(publications)
    execute(engine, "DELETE FROM outbox")
    return [p.message_id for p in publications]


def look_again(leader: LeaderParts, reconcile: Reconcile) -> None:
    """Two turns, ten seconds apart, with the lease renewed in between."""
    reconcile.turn()
    for _ in range(5):
        leader.clock.now += 2.1
        leader.leadership.campaign()
    reconcile.turn()


def test_after_a_flush_everything_queued_is_published_once(leader: LeaderParts, engine: Engine) -> None:
    rebuild = make_rebuild(leader)
    rebuild.turn()
    ids = [*publish(leader, engine, 900), *publish(leader, engine, 100, queue="low_priority")]
    claimed = [task.id for task in put_in(engine, 1).answer]
    claim_all(engine, make_worker(engine), claimed)
    leader.client.flushdb()
    rebuild.turn()
    assert sorted([*leader.messages(), *leader.messages("low_priority")]) == sorted(ids)
    assert leader.payloads() | leader.payloads("low_priority") == set(ids)
    assert rebuild.is_needed is False
    assert leader.value("tasks_unaccounted") == 0
    rebuild.turn()
    assert len(leader.messages()) == 900


def test_what_was_published_since_the_flush_is_not_published_twice(leader: LeaderParts, engine: Engine) -> None:
    publish(leader, engine, 5)
    leader.client.flushdb()
    publish(leader, engine, 3)
    make_rebuild(leader).turn()
    assert len(leader.messages()) == 8
    assert len(set(leader.messages())) == 8


def test_a_flush_during_the_rebuild_starts_it_again(
    leader: LeaderParts, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(leader, engine, 2 * PAGE + 10)
    leader.client.flushdb()
    rebuild = make_rebuild(leader)
    turns: list[int] = []
    publisher = leader.publisher.publish

    def flush_once(*given: object) -> int:
        if not turns:
            leader.client.flushdb()
        turns.append(1)
        return publisher(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(leader.publisher, "publish", flush_once)
    rebuild.turn()
    assert leader.client.exists(leader.names.epoch) == 0
    rebuild.turn()
    assert rebuild.is_needed is False
    assert len(set(leader.messages())) == 2 * PAGE + 10
    assert leader.payloads() == set(leader.messages())


def test_single_lost_messages_are_published_again(leader: LeaderParts, engine: Engine) -> None:
    ids = publish(leader, engine, 20)
    leader.age(60)
    lost = ids[3:6]
    leader.client.hdel(leader.names.messages("default"), *lost)
    for message_id in lost:
        leader.client.lrem(leader.names.queue("default"), 1, message_id)
    reconcile = make_reconcile(leader)
    look_again(leader, reconcile)
    wait_for(lambda: leader.messages()[-3:] == lost)
    assert leader.payloads() == set(ids)
    assert leader.value("tasks_unaccounted") == 3
    assert leader.value("tasks_reconciled_total") == 3
    for _ in range(4):
        look_again(leader, reconcile)
        assert leader.value("tasks_unaccounted") == 3, "long enough for a scrape a minute"
    for _ in range(3):
        look_again(leader, reconcile)
    assert leader.value("tasks_unaccounted") == 0
    assert len(leader.messages()) == 20
    wait_for(lambda: scalar(engine, "SELECT count(*) FROM outbox") == 0)


def test_unaccounted_tasks_are_shown_until_a_whole_walk_has_found_no_more(leader: LeaderParts, engine: Engine) -> None:
    put_in(engine, 12 * PAGE)
    put_in(engine, 1, queue="selection")
    execute(engine, "DELETE FROM outbox")
    leader.age(60)
    reconcile = make_reconcile(leader)
    shown = []
    for _ in range(60):
        reconcile.turn()
        shown.append(leader.value("tasks_unaccounted"))
        assert int(leader.client.get(leader.names.lost) or 0) == shown[-1], "for the API"
        leader.clock.now += 2.1
        leader.leadership.campaign()
    assert shown[0] == 0
    assert max(filter(None, shown)) == 12 * PAGE + 1
    first = next(n for n, value in enumerate(shown) if value)
    assert all(shown[first : first + 29]), "a minute"
    assert shown[-1] == 0


@pytest.mark.parametrize("why", ["young", "in_outbox", "claimed", "another_publication", "known"])
def test_what_is_not_lost_is_left_alone(leader: LeaderParts, engine: Engine, why: str) -> None:
    publications = put_in(engine, 3).publications
    if why != "in_outbox":
        execute(engine, "DELETE FROM outbox")
    if why != "young":
        leader.age(60, outbox=False)
    if why == "known":
        leader.publisher.publish(publications)
    reconcile = make_reconcile(leader)
    reconcile.turn()
    if why == "claimed":
        claim_all(engine, make_worker(engine), [p.task_id for p in publications])
    if why == "another_publication":
        execute(engine, "UPDATE task SET publication = publication + 1, queued_at = now()")
    before = len(leader.messages())
    look_again(leader, reconcile)
    assert len(leader.messages()) == before
    assert leader.value("tasks_reconciled_total") == 0
    assert leader.value("tasks_unaccounted") == 0


def test_one_look_is_not_enough(leader: LeaderParts, engine: Engine) -> None:
    put_in(engine, 1)
    execute(engine, "DELETE FROM outbox")
    leader.age(60)
    reconcile = make_reconcile(leader)
    for _ in range(4):
        reconcile.turn()
        leader.clock.now += 2.0
        leader.leadership.campaign()
    assert leader.messages() == []


def test_the_walk_visits_all_pages_and_queues(leader: LeaderParts, engine: Engine) -> None:
    """A turn is bounded, and the next one continues where it stopped."""
    put_in(engine, 12 * PAGE)
    put_in(engine, 1, queue="selection")
    execute(engine, "DELETE FROM outbox")
    leader.age(60)
    reconcile = make_reconcile(leader)
    reconcile.turn()
    assert 0 < len(reconcile._suspects) <= 10 * PAGE
    reconcile.turn()
    assert len(reconcile._suspects) == 12 * PAGE + 1


def test_a_queue_that_is_not_in_the_settings_is_reconciled_too(leader: LeaderParts, engine: Engine) -> None:
    """A task type may bring its own queue, and the scheduler does not have to know the type."""
    ids = [p.message_id for p in put_in(engine, 3, queue="reports").publications]
    execute(engine, "DELETE FROM outbox")
    leader.age(60)
    reconcile, rebuild = make_reconcile(leader), make_rebuild(leader)
    rebuild.turn()
    assert sorted(leader.messages("reports")) == sorted(ids)
    leader.client.delete(leader.names.messages("reports"), leader.names.queue("reports"))
    look_again(leader, reconcile)
    wait_for(lambda: sorted(leader.messages("reports")) == sorted(ids))


def test_reconcile_pauses_after_a_change_of_postgresql(leader: LeaderParts, engine: Engine) -> None:
    put_in(engine, 1)
    execute(engine, "DELETE FROM outbox")
    leader.age(60)
    leader.leadership.read(leader.database.is_settled)
    assert leader.database._seen is not None
    leader.database._pause = 100.0
    leader.database.observe(leader.database._seen[0], "000000FF", 1e6)
    reconcile, rebuild = make_reconcile(leader), make_rebuild(leader)
    look_again(leader, reconcile)
    rebuild.turn()
    assert leader.messages() == []
    assert rebuild.is_needed is True


def test_a_pass_by_hand_reports_what_is_missing_and_publishes_it_unless_it_is_a_dry_run(
    leader: LeaderParts, engine: Engine
) -> None:
    publish(leader, engine, 4)
    gone = publish(leader, engine, 1, queue="selection")
    leader.age(60)
    leader.client.delete(leader.names.messages("selection"), leader.names.queue("selection"))
    found = by_hand(leader, engine)
    assert found.lost_everything is True
    assert +found.queued == {"default": 4, "selection": 1}
    assert +found.missing == {"selection": 1}
    assert leader.messages("selection") == []
    assert scalar(engine, "SELECT count(*) FROM outbox") == 0
    assert found.published == 0
    assert [f"{task_id}:1" for task_id in found.task_ids] == gone
    found = by_hand(leader, engine, dry_run=False)
    assert (found.missing.total(), found.published) == (1, 1)
    assert leader.messages("selection") == gone
    assert scalar(engine, "SELECT count(*) FROM outbox") == 0


@pytest.mark.parametrize("what", ["Redis was started again", "PostgreSQL has changed"])
def test_after_a_change_of_a_server_what_is_missing_is_published_at_once(
    leader: LeaderParts, engine: Engine, what: str
) -> None:
    """Without the thirty seconds and the two looks that single losses take."""
    rebuild = make_rebuild(leader)
    rebuild.turn()
    kept, lost = publish(leader, engine, 3), publish(leader, engine, 2)
    leader.client.hdel(leader.names.messages("default"), *lost)
    leader.client.ltrim(leader.names.queue("default"), 0, 2)
    leader.age(5)
    rebuild.turn()
    assert leader.messages() == kept, "nothing has changed"
    if what == "Redis was started again":
        leader.client.set(leader.names.epoch, "the run id of another server")
    else:
        assert leader.database._seen is not None
        leader.database.observe(leader.database._seen[0], "000000FF", 1e6)
    published_late = publish(leader, engine, 1)
    in_outbox = put_in(engine, 1).publications[0]
    rebuild.turn()
    assert sorted(leader.messages()) == sorted([*kept, *published_late, *lost, in_outbox.message_id])
    assert leader.value("tasks_reconciled_total") == 2, "the third had an outbox row"
    assert leader.value("tasks_unaccounted") == 0
    rebuild.turn()
    assert rebuild.is_needed is False
    assert len(leader.messages()) == 7


def test_suspects_are_claimed_from_the_ledger_and_never_missing(leader: LeaderParts, engine: Engine) -> None:
    rebuild = make_rebuild(leader)
    rebuild.turn()
    put_in(engine, 3)
    execute(engine, "DELETE FROM outbox")
    execute(engine, "UPDATE task SET suspicions = 1")
    leader.age(60)
    look_again(leader, make_reconcile(leader))
    assert by_hand(leader, engine).missing.total() == 0
    for change in ("another server", None):
        if change:
            leader.client.set(leader.names.epoch, change)
        else:
            leader.client.flushdb()
        rebuild.turn()
    assert leader.messages() == []
    assert leader.value("tasks_unaccounted") == 0


def test_what_is_published_and_deleted_between_the_looks_is_not_missing(
    leader: LeaderParts, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Redis does not know the message; the relay publishes it and deletes the outbox row; then the ledger is asked."""
    publications = put_in(engine, 1).publications
    leader.age(60)
    reconcile = make_reconcile(leader)
    reconcile.turn()
    ask = leader.tasks.unknown

    def relayed_meanwhile(suspects: list[Publication]) -> list[Publication]:
        unknown = ask(suspects)
        if not leader.messages():
            leader.publisher.publish(publications)
            execute(engine, "DELETE FROM outbox")
        return unknown

    for _ in range(5):
        leader.clock.now += 2.1
        leader.leadership.campaign()
    monkeypatch.setattr(leader.tasks, "unknown", relayed_meanwhile)
    reconcile.turn()
    assert len(leader.messages()) == 1
    assert leader.value("tasks_unaccounted") == 0


def test_nothing_is_taken_for_lost_while_publishes_are_slow(leader: LeaderParts, engine: Engine) -> None:
    """A steady stream of submits and claims, with publishes slower than the age from which rows are checked."""
    tasks = QueuedTasks(leader.client, leader.names, age_seconds=0.4)
    reconcile = Reconcile(
        leader.leadership,
        leader.dispatcher,
        leader.database,
        tasks,
        leader.metrics,
        wait_for=lambda: False,
        second_look_seconds=0.2,
    )
    worker, ended = make_worker(engine), threading.Event()
    submitted: list[int] = []
    seen: list[float] = []

    def submitter() -> None:
        with make_redis(leader.redis_url) as client:
            publisher = Publisher(client, leader.names)
            while not ended.is_set():
                batch = put_in(engine, 20)
                ended.wait(random.uniform(0.0, 1.0))
                publisher.publish(batch.publications)
                execute(engine, "DELETE FROM outbox WHERE id = ANY(:ids)", ids=batch.outbox_ids)
                submitted.append(20)

    def claimer() -> None:
        with make_redis(leader.redis_url) as client:
            while not ended.wait(random.uniform(0.0, 0.05)):
                ids: Any = client.lpop(leader.names.queue("default"), 7) or []
                if ids:
                    claim_all(engine, worker, [UUID(i.decode().partition(":")[0]) for i in ids])
                    client.hdel(leader.names.messages("default"), *ids)

    threads = [threading.Thread(target=loop) for loop in (submitter, submitter, submitter, submitter, claimer)]
    for thread in threads:
        thread.start()
    try:
        until = time.monotonic() + 4
        # Longer on a slow machine, until there was enough of it to see.
        while time.monotonic() < until or (
            time.monotonic() < until + 60 and (sum(submitted) <= 100 or len(seen) <= 40)
        ):
            leader.leadership.campaign()
            reconcile.turn()
            seen.append(leader.value("tasks_unaccounted") or 0.0)
            time.sleep(0.02)
    finally:
        ended.set()
        for thread in threads:
            thread.join()
    assert set(seen) == {0.0}
    assert leader.value("tasks_reconciled_total") == 0
    assert sum(submitted) > 100
    assert len(seen) > 40

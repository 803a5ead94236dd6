"""What Redis lost goes out again, and nothing else does."""

import random
import threading
import time
from functools import partial
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Engine

from taskyard.broker.connect import make_redis
from taskyard.broker.publisher import Publisher
from taskyard.domain.tasks import Publication
from taskyard_scheduler.inventory import PAGE, Inventory
from taskyard_scheduler.reconcile import Missing, Rebuild
from taskyard_scheduler.survey import publish_again, survey
from tests.support.scheduling import (
    Office,
    claim_all,
    eventually,
    execute,
    make_worker,
    put_in,
    scalar,
)


def make_rebuild(office: Office) -> Rebuild:
    return Rebuild(
        office.leadership,
        office.publisher,
        office.ground,
        office.inventory,
        office.metrics,
        office.telemetry.dependency("redis"),
    )


def make_missing(office: Office) -> Missing:
    return Missing(
        office.leadership,
        office.dispatcher,
        office.ground,
        office.inventory,
        office.metrics,
        wait_for=lambda: False,
        clock=office.clock,
    )


def publish(office: Office, engine: Engine, count: int, *, queue: str = "default") -> list[str]:
    """Tasks as they stand a while after their submission."""
    publications = put_in(engine, count, queue=queue).publications
    office.publisher.publish(publications)
    execute(engine, "DELETE FROM outbox")
    return [p.message_id for p in publications]


def look_again(office: Office, missing: Missing) -> None:
    """Two passes, ten seconds apart, with the lease renewed meanwhile."""
    missing.turn()
    for _ in range(5):
        office.clock.now += 2.1
        office.leadership.campaign()
    missing.turn()


def test_after_a_flush_everything_queued_is_published_once(office: Office, engine: Engine) -> None:
    rebuild = make_rebuild(office)
    rebuild.turn()
    ids = [*publish(office, engine, 900), *publish(office, engine, 100, queue="low_priority")]
    claimed = [task.id for task in put_in(engine, 1).tasks]
    claim_all(engine, make_worker(engine), claimed)
    office.client.flushdb()
    rebuild.turn()
    assert sorted([*office.messages(), *office.messages("low_priority")]) == sorted(ids)
    assert office.payloads() | office.payloads("low_priority") == set(ids)
    assert rebuild.is_needed is False
    assert office.value("tasks_unaccounted") == 0
    rebuild.turn()
    assert len(office.messages()) == 900


def test_what_was_published_since_the_flush_is_not_published_twice(office: Office, engine: Engine) -> None:
    publish(office, engine, 5)
    office.client.flushdb()
    publish(office, engine, 3)
    make_rebuild(office).turn()
    assert len(office.messages()) == 8
    assert len(set(office.messages())) == 8


def test_a_flush_in_the_middle_of_the_rebuild_begins_it_again(
    office: Office, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(office, engine, 2 * PAGE + 10)
    office.client.flushdb()
    rebuild = make_rebuild(office)
    turns: list[int] = []
    publisher = office.publisher.publish

    def flush_once(*given: object) -> int:
        if not turns:
            office.client.flushdb()
        turns.append(1)
        return publisher(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(office.publisher, "publish", flush_once)
    rebuild.turn()
    assert office.client.exists(office.names.epoch) == 0
    rebuild.turn()
    assert rebuild.is_needed is False
    assert len(set(office.messages())) == 2 * PAGE + 10
    assert office.payloads() == set(office.messages())


def test_single_lost_messages_are_published_again(office: Office, engine: Engine) -> None:
    ids = publish(office, engine, 20)
    office.age(60)
    lost = ids[3:6]
    office.client.hdel(office.names.messages("default"), *lost)
    for message_id in lost:
        office.client.lrem(office.names.queue("default"), 1, message_id)
    missing = make_missing(office)
    look_again(office, missing)
    eventually(lambda: office.messages()[-3:] == lost)
    assert office.payloads() == set(ids)
    assert office.value("tasks_unaccounted") == 3
    assert office.value("tasks_reconciled_total") == 3
    for _ in range(4):
        look_again(office, missing)
        assert office.value("tasks_unaccounted") == 3, "long enough for a scrape a minute"
    for _ in range(3):
        look_again(office, missing)
    assert office.value("tasks_unaccounted") == 0
    assert len(office.messages()) == 20
    eventually(lambda: scalar(engine, "SELECT count(*) FROM outbox") == 0)


def test_what_is_unaccounted_is_shown_until_a_whole_walk_found_no_more(office: Office, engine: Engine) -> None:
    put_in(engine, 12 * PAGE)
    put_in(engine, 1, queue="selection")
    execute(engine, "DELETE FROM outbox")
    office.age(60)
    missing = make_missing(office)
    shown = []
    for _ in range(60):
        missing.turn()
        shown.append(office.value("tasks_unaccounted"))
        office.clock.now += 2.1
        office.leadership.campaign()
    assert shown[0] == 0
    assert max(filter(None, shown)) == 12 * PAGE + 1
    first = next(n for n, value in enumerate(shown) if value)
    assert all(shown[first : first + 29]), "a minute"
    assert shown[-1] == 0


@pytest.mark.parametrize("why", ["young", "boxed", "claimed", "another_publication", "known"])
def test_what_is_not_lost_is_left_alone(office: Office, engine: Engine, why: str) -> None:
    publications = put_in(engine, 3).publications
    if why != "boxed":
        execute(engine, "DELETE FROM outbox")
    if why != "young":
        office.age(60, outbox=False)
    if why == "known":
        office.publisher.publish(publications)
    missing = make_missing(office)
    missing.turn()
    if why == "claimed":
        claim_all(engine, make_worker(engine), [p.task_id for p in publications])
    if why == "another_publication":
        execute(engine, "UPDATE task SET publication = publication + 1, queued_at = now()")
    before = len(office.messages())
    look_again(office, missing)
    assert len(office.messages()) == before
    assert office.value("tasks_reconciled_total") == 0
    assert office.value("tasks_unaccounted") == 0


def test_one_look_is_not_enough(office: Office, engine: Engine) -> None:
    put_in(engine, 1)
    execute(engine, "DELETE FROM outbox")
    office.age(60)
    missing = make_missing(office)
    for _ in range(4):
        missing.turn()
        office.clock.now += 2.0
        office.leadership.campaign()
    assert office.messages() == []


def test_the_walk_comes_round_all_pages_and_queues(office: Office, engine: Engine) -> None:
    """A turn is bounded; the next one goes on where it stopped."""
    put_in(engine, 12 * PAGE)
    put_in(engine, 1, queue="selection")
    execute(engine, "DELETE FROM outbox")
    office.age(60)
    missing = make_missing(office)
    missing.turn()
    assert 0 < len(missing._suspects) <= 10 * PAGE
    missing.turn()
    assert len(missing._suspects) == 12 * PAGE + 1


def test_a_queue_that_is_in_nobodys_settings_is_looked_after_too(office: Office, engine: Engine) -> None:
    """A task type may bring a queue of its own, and the scheduler need not know the type."""
    ids = [p.message_id for p in put_in(engine, 3, queue="reports").publications]
    execute(engine, "DELETE FROM outbox")
    office.age(60)
    missing, rebuild = make_missing(office), make_rebuild(office)
    rebuild.turn()
    assert sorted(office.messages("reports")) == sorted(ids)
    office.client.delete(office.names.messages("reports"), office.names.queue("reports"))
    look_again(office, missing)
    eventually(lambda: sorted(office.messages("reports")) == sorted(ids))


def test_reconcile_pauses_after_a_change_of_postgresql(office: Office, engine: Engine) -> None:
    put_in(engine, 1)
    execute(engine, "DELETE FROM outbox")
    office.age(60)
    office.leadership.read(office.ground.steady)
    assert office.ground._seen is not None
    office.ground._pause = 100.0
    office.ground.observe(office.ground._seen[0], "000000FF", 1e6)
    missing, rebuild = make_missing(office), make_rebuild(office)
    look_again(office, missing)
    rebuild.turn()
    assert office.messages() == []
    assert rebuild.is_needed is True


def test_a_survey_by_hand_says_what_is_missing_and_changes_nothing(office: Office, engine: Engine) -> None:
    publish(office, engine, 4)
    gone = publish(office, engine, 1, queue="selection")
    office.age(60)
    office.client.delete(office.names.messages("selection"), office.names.queue("selection"))
    found = survey(engine, office.client, office.names, office.inventory, second_look_seconds=0.01)
    assert found.lost_everything is True
    assert {q.queue: (q.queued, q.missing) for q in found.queues if q.queued} == {
        "default": (4, 0),
        "selection": (1, 1),
    }
    assert office.messages("selection") == []
    assert (found.missing, found.published) == (1, 0)
    assert [f"{task_id}:1" for task_id in found.named] == gone
    again = partial(publish_again, engine, office.publisher, office.inventory)
    found = survey(engine, office.client, office.names, office.inventory, publish=again, second_look_seconds=0.01)
    assert (found.missing, found.published) == (1, 1)
    assert office.messages("selection") == gone
    assert scalar(engine, "SELECT count(*) FROM outbox") == 0


@pytest.mark.parametrize("what", ["Redis was started again", "PostgreSQL has changed"])
def test_after_a_change_of_a_server_what_is_missing_goes_out_at_once(office: Office, engine: Engine, what: str) -> None:
    """Not after the thirty seconds and two looks of single losses: nothing was lost a moment ago, or much was."""
    rebuild = make_rebuild(office)
    rebuild.turn()
    kept, lost = publish(office, engine, 3), publish(office, engine, 2)
    office.client.hdel(office.names.messages("default"), *lost)
    office.client.ltrim(office.names.queue("default"), 0, 2)
    office.age(5)
    rebuild.turn()
    assert office.messages() == kept, "nothing has changed"
    if what == "Redis was started again":
        office.client.set(office.names.epoch, "the run id of another server")
    else:
        assert office.ground._seen is not None
        office.ground.observe(office.ground._seen[0], "000000FF", 1e6)
    published_late = publish(office, engine, 1)
    boxed = put_in(engine, 1).publications[0]
    rebuild.turn()
    assert sorted(office.messages()) == sorted([*kept, *published_late, *lost, boxed.message_id])
    assert office.value("tasks_reconciled_total") == 2, "the third was on its way"
    assert office.value("tasks_unaccounted") == 0
    rebuild.turn()
    assert rebuild.is_needed is False
    assert len(office.messages()) == 7


def test_suspects_are_claimed_from_the_ledger_and_never_missing(office: Office, engine: Engine) -> None:
    rebuild = make_rebuild(office)
    rebuild.turn()
    put_in(engine, 3)
    execute(engine, "DELETE FROM outbox")
    execute(engine, "UPDATE task SET suspicions = 1")
    office.age(60)
    look_again(office, make_missing(office))
    found = survey(engine, office.client, office.names, office.inventory, second_look_seconds=0.01)
    assert found.missing == 0
    for change in ("another server", None):
        if change:
            office.client.set(office.names.epoch, change)
        else:
            office.client.flushdb()
        rebuild.turn()
    assert office.messages() == []
    assert office.value("tasks_unaccounted") == 0


def test_what_is_published_and_deleted_between_the_looks_is_not_missing(
    office: Office, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Redis is asked, knows nothing; the relay publishes and deletes its row; the ledger is asked."""
    publications = put_in(engine, 1).publications
    office.age(60)
    missing = make_missing(office)
    missing.turn()
    ask = office.inventory.unknown

    def relayed_meanwhile(suspects: list[Publication]) -> list[Publication]:
        unknown = ask(suspects)
        if not office.messages():
            office.publisher.publish(publications)
            execute(engine, "DELETE FROM outbox")
        return unknown

    for _ in range(5):
        office.clock.now += 2.1
        office.leadership.campaign()
    monkeypatch.setattr(office.inventory, "unknown", relayed_meanwhile)
    missing.turn()
    assert len(office.messages()) == 1
    assert office.value("tasks_unaccounted") == 0


def test_nothing_is_taken_for_lost_while_publishes_are_slow(office: Office, engine: Engine) -> None:
    """A steady stream of submits and claims, every publish slower than rows have to be old for a look."""
    inventory = Inventory(office.client, office.names, age_seconds=0.4)
    missing = Missing(
        office.leadership,
        office.dispatcher,
        office.ground,
        inventory,
        office.metrics,
        wait_for=lambda: False,
        second_look_seconds=0.2,
    )
    worker, ended = make_worker(engine), threading.Event()
    submitted: list[int] = []
    seen: list[float] = []

    def submitter() -> None:
        with make_redis(office.redis_url) as client:
            publisher = Publisher(client, office.names)
            while not ended.is_set():
                batch = put_in(engine, 20)
                ended.wait(random.uniform(0.0, 1.0))
                publisher.publish(batch.publications)
                execute(engine, "DELETE FROM outbox WHERE id = :id", id=batch.outbox_id)
                submitted.append(20)

    def claimer() -> None:
        with make_redis(office.redis_url) as client:
            while not ended.wait(random.uniform(0.0, 0.05)):
                ids: Any = client.lpop(office.names.queue("default"), 7) or []
                if ids:
                    claim_all(engine, worker, [UUID(i.decode().partition(":")[0]) for i in ids])
                    client.hdel(office.names.messages("default"), *ids)

    threads = [threading.Thread(target=loop) for loop in (submitter, submitter, submitter, submitter, claimer)]
    for thread in threads:
        thread.start()
    try:
        until = time.monotonic() + 4
        # As long as it takes to have seen enough of it, on a slow machine too.
        while time.monotonic() < until or (
            time.monotonic() < until + 60 and (sum(submitted) <= 100 or len(seen) <= 40)
        ):
            office.leadership.campaign()
            missing.turn()
            seen.append(office.value("tasks_unaccounted") or 0.0)
            time.sleep(0.02)
    finally:
        ended.set()
        for thread in threads:
            thread.join()
    assert set(seen) == {0.0}
    assert office.value("tasks_reconciled_total") == 0
    assert sum(submitted) > 100
    assert len(seen) > 40

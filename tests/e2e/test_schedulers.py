"""Two schedulers: whatever happens to the one that leads, the other goes on, and nothing is done twice."""

import json
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest
import sqlalchemy as sa

from tests.support.effects import effects
from tests.support.fleet import Fleet, repeating, wait_for
from tests.support.proxy import Proxy

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

# The promise: somebody leads five seconds after a death. A partition is first told from a hiccup.
FOLLOWED_SECONDS = 5.0
NOTICED_SECONDS = 2.0


@dataclass
class Scheduler:
    """A scheduler with ways of its own to both servers."""

    process: subprocess.Popen[bytes]
    postgres: Proxy
    redis: Proxy


@pytest.fixture
def pair(fleet: Fleet, database_url: str, redis_url: str) -> Iterator[tuple[Scheduler, Scheduler]]:
    with ExitStack() as exits:
        made = []
        for _ in range(2):
            postgres, broker = (
                exits.enter_context(Proxy((url.host or "", url.port or 0)))
                for url in (sa.make_url(database_url), sa.make_url(redis_url))
            )
            process = fleet.start_scheduler(
                TASKYARD_DATABASE_URL=postgres.through(database_url), TASKYARD_REDIS_URL=broker.through(redis_url)
            )
            made.append(Scheduler(process, postgres, broker))
            wait_for(lambda: leader(fleet) is not None, 30, "somebody to lead")
        wait_for(lambda: fleet.logs().count('"scheduler_started"') == 2, 30, "the standby")
        yield made[0], made[1]
        fleet.stop()


def leader(fleet: Fleet) -> int | None:
    """The process id of who leads by PostgreSQL's word."""
    rows = fleet.query("SELECT holder_name FROM leader WHERE expires_at > now()")
    return int(rows[0].holder_name.rpartition(":")[2]) if rows else None


def wait_follows(fleet: Fleet, follower: Scheduler, seconds: float, what: str) -> None:
    wait_for(lambda: leader(fleet) == follower.process.pid, seconds, f"the other to lead after {what}")


@pytest.mark.timeout(180)
@pytest.mark.long
def test_the_other_takes_over_and_who_comes_back_does_no_harm(fleet: Fleet, pair: tuple[Scheduler, Scheduler]) -> None:
    first, second = pair
    fleet.start_api()
    fleet.start_worker()
    assert leader(fleet) == first.process.pid
    # Each has to be promoted by the one that leads.
    ids: list[str] = []
    with repeating(lambda: ids.append(fleet.submit("tests.effect", delay_seconds=0.5)), every=0.1):
        time.sleep(1)
        first.postgres.stall()
        wait_follows(fleet, second, FOLLOWED_SECONDS, "a partition from PostgreSQL")
        first.postgres.restore()

        second.redis.stall()
        wait_follows(fleet, first, FOLLOWED_SECONDS + NOTICED_SECONDS, "a partition from Redis")
        second.redis.restore()

        first.redis.refuse()
        wait_follows(fleet, second, FOLLOWED_SECONDS, "a Redis that refuses this one")
        first.redis.restore()

        second.process.send_signal(signal.SIGSTOP)
        wait_follows(fleet, first, FOLLOWED_SECONDS, "a stop")
        second.process.send_signal(signal.SIGCONT)
        time.sleep(1)  # what the one that woke up does in its first second is what could do harm
        assert leader(fleet) == first.process.pid

        first.process.kill()
        wait_follows(fleet, second, FOLLOWED_SECONDS, "a death")
        time.sleep(1)

    assert fleet.wait_final(ids, 30) == {"succeeded": len(ids)}
    assert sorted(effects(fleet.effects)) == sorted(ids), "each ran once"
    twice = fleet.query("SELECT count(*) AS n FROM task WHERE publication <> 1 OR attempt <> 1")[0].n
    assert twice == 0, "each was promoted once, by one of them"
    assert fleet.query("SELECT epoch FROM leader")[0].epoch == 6
    lines = [json.loads(line) for line in fleet.logs().splitlines() if line.startswith("{")]
    assert {line["level"] for line in lines} <= {"debug", "info", "warning"}
    assert second.process.poll() is None

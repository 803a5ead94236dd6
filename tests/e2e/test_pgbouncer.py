"""The platform and an application behind a real pgbouncer in transaction mode."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from psycopg import Connection

from taskyard_client.transaction import submit_in
from tests.support.applications import application
from tests.support.fleet import Fleet
from tests.support.pgbouncer import pgbouncer

pytestmark = [pytest.mark.system, pytest.mark.e2e, pytest.mark.timeout(180)]

TASK = "tests.effect"


def test_the_whole_platform_works_behind_pgbouncer(fleet: Fleet) -> None:
    with _behind_pgbouncer(fleet):
        fleet.start_all(processes=2)
        ids = [fleet.submit(TASK) for _ in range(30)] + fleet.submit_many(200, TASK)
        assert fleet.wait_final(ids, 60) == {"succeeded": 230}
        fleet.stop()


def test_behind_pgbouncer_a_commit_is_heard_by_the_direct_address_only(fleet: Fleet) -> None:
    direct = fleet.environment["TASKYARD_DATABASE_URL"]
    took = {}
    with _behind_pgbouncer(fleet) as shop:
        fleet.start_all()
        fleet.submit(TASK)  # the worker has registered its types
        took["polled"] = [_seconds_to_run(shop, fleet) for _ in range(8)]
        fleet.stop()
        fleet.environment["TASKYARD_LISTEN_URL"] = direct
        fleet.start_all()
        took["heard"] = [_seconds_to_run(shop, fleet) for _ in range(8)]
        fleet.stop()
    assert min(took["heard"]) < statistics.median(took["polled"]) / 2
    assert statistics.median(took["polled"]) < 5  # not only with the pass that looks for what was left


@contextmanager
def _behind_pgbouncer(fleet: Fleet) -> Iterator[Connection[Any]]:
    """A connection of an application; the fleet's addresses lead through pgbouncer, too."""
    environment = fleet.environment
    names = ("TASKYARD_DATABASE_URL", "TASKYARD_TASK_DATABASE_URL")
    direct = [environment[name] for name in names]
    with application(fleet.engine, direct[0]) as app, pgbouncer(*direct, app) as through:
        environment.update(zip(names, through, strict=False))
        address = through[-1].removesuffix("?pgbouncer=true")
        with psycopg.connect(address, prepare_threshold=None) as conn:
            yield conn


def _seconds_to_run(shop: Connection[Any], fleet: Fleet) -> float:
    task = submit_in(shop, TASK)
    began = time.monotonic()
    shop.commit()
    fleet.wait_final([str(task)], 20)
    return time.monotonic() - began

"""`taskyard-scheduler reconcile`: one pass of the leader's walk by hand, with the same second look."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated
from uuid import UUID

import redis
import typer
from sqlalchemy import Engine

from taskyard.broker.connect import make_redis
from taskyard.broker.publisher import Publisher
from taskyard.commands import FAILED, AsJson, LogLevel, print_json, settings_or_exit
from taskyard.domain.errors import BrokerUnavailable
from taskyard.domain.tasks import Publication
from taskyard.lifecycle.dispatch import Immediate
from taskyard.telemetry.logging import set_up_logging

from .program import PROGRAM, servers_or_exit
from .queued_tasks import PAGE, DirectAccess, QueuedTasks, Walk

# The second look begins at so many suspects: a million of them must not fill the memory.
_SUSPECTS = 10_000
_NAMED = 1000
_SHOWN = 10


@dataclass(slots=True)
class Report:
    """How many tasks of each queue are queued, how many of their messages are missing, and the first of these tasks.

    `lost_everything`: the epoch key is gone, so the leader is about to publish all queued tasks.
    """

    lost_everything: bool
    queued: Counter[str] = field(default_factory=Counter)
    missing: Counter[str] = field(default_factory=Counter)
    task_ids: list[UUID] = field(default_factory=list)
    published: int = 0


def reconcile_once(
    engine: Engine, publisher: Publisher, tasks: QueuedTasks, *, dry_run: bool, second_look_seconds: float = 2.0
) -> Report:
    """Walks once through all queued rows and publishes what is missing; harmless beside a leader that does the same.

    Raises LedgerUnavailable and BrokerUnavailable.
    """
    walk = Walk(DirectAccess(engine), tasks)
    announcer = None if dry_run else Immediate(engine, publisher, must_publish=True)

    def look_again(suspects: Sequence[Publication]) -> None:
        time.sleep(second_look_seconds)
        for start in range(0, len(suspects), PAGE):
            found = walk.lost(suspects[start : start + PAGE], announcer)
            report.missing.update(publication.queue for publication in found)
            report.task_ids += [publication.task_id for publication in found[: _NAMED - len(report.task_ids)]]
            report.published += 0 if dry_run else len(found)

    try:
        report = Report(lost_everything=not publisher.client.exists(publisher.names.epoch))
        suspects: list[Publication] = []
        is_last = False
        while not is_last:
            page, unknown = walk.step()
            report.queued[page.queue] += page.size
            suspects += unknown
            is_last = page.next is None
            if suspects and (is_last or len(suspects) >= _SUSPECTS):
                look_again(suspects)
                suspects = []
    except redis.RedisError as e:
        raise BrokerUnavailable(str(e)) from e
    return report


def reconcile(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what is missing.")] = False,
    as_json: AsJson = False,
    log_level: LogLevel = None,
) -> None:
    """Compares queued rows with what Redis knows and publishes what is missing.

    The leader does this all the time; by hand it shows the state of things. A message is missing if its task has been
    queued for over 30 seconds, no outbox row will publish it, and Redis does not know it at two looks. Exit code 1:
    --dry-run found something.
    """
    settings = settings_or_exit(PROGRAM, log_level=log_level)
    set_up_logging("scheduler", level=log_level or "warning", style=settings.log_format)
    with (
        servers_or_exit(settings) as (engine, publisher),
        make_redis(settings.redis_url.get_secret_value(), max_connections=1) as client,
    ):
        report = reconcile_once(engine, publisher, QueuedTasks(client, publisher.names), dry_run=dry_run)
    # Queues of the settings are shown even where they are empty.
    queues = tuple(dict.fromkeys((*settings.queues, *(queue for queue, rows in report.queued.items() if rows))))
    missing = report.missing.total()
    if as_json:
        print_json(
            {
                "lost_everything": report.lost_everything,
                "missing": missing,
                "published": report.published,
                "queues": [{"queue": q, "queued": report.queued[q], "missing": report.missing[q]} for q in queues],
                "task_ids": report.task_ids,
            }
        )
    else:
        _print(report, queues, missing, dry_run=dry_run)
    raise typer.Exit(FAILED if missing and dry_run else 0)


def _print(report: Report, queues: Sequence[str], missing: int, *, dry_run: bool) -> None:
    width = max(len(queue) for queue in queues)
    typer.echo(f"{'queue':<{width}}  {'queued':>10}  {'missing':>10}")
    for queue in queues:
        typer.echo(f"{queue:<{width}}  {report.queued[queue]:>10,}  {report.missing[queue]:>10,}")
    if report.lost_everything:
        typer.echo("Redis has lost everything: the leader publishes all queued tasks.")
    for task_id in report.task_ids[:_SHOWN]:
        typer.echo(f"  {task_id}")
    if missing > _SHOWN:
        typer.echo(f"  and {missing - _SHOWN:,} more (--json names up to 1,000)")
    typer.echo(f"{missing:,} would be published again." if dry_run else f"{report.published:,} published again.")

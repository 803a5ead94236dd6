"""Scheduler: does one lead, does it publish, fire and rescue, and is Redis well."""

from __future__ import annotations

from grafana_foundation_sdk.models.dashboard import Dashboard

from .boards import OVERVIEW, QUEUES, SCHEDULER, Row, board, link
from .panels import GREEN, NO_COUNT, NO_LEADER, ORANGE, PER_SECOND, RED, Panel, figure, graph, heat_map, steps, timeline
from .queries import (
    Query,
    age,
    heat,
    increase,
    leaders_only,
    of_leader,
    or_zero,
    quantiles,
    rate,
    series,
    share_of_limit,
    since,
    total,
)

_LAST_TURN = f"time() - max({leaders_only(series('scheduler_last_tick_timestamp_seconds'))})"
_RECOVERED_BY_SCHEDULER = increase("tasks_recovered_total", "cause", cause="worker_lost")


def scheduler() -> Dashboard:
    return board(
        SCHEDULER,
        "Scheduler",
        "Whether a scheduler leads and does its work: publishing, schedules, rescue; and how Redis is.",
        [
            Row("Now", _now()),
            Row("Leadership", _leadership()),
            Row("Outbox", _outbox()),
            Row("Schedules", _schedules()),
            Row("Rescue", _rescue()),
            Row("Redis", _redis()),
        ],
    )


def _now() -> list[Panel]:
    return [
        figure(
            "Leaders",
            or_zero(total("scheduler_is_leader")),
            "Normal: 1. With 0 nothing is published, rescued or scheduled: start a scheduler, or look why it does not "
            "reach PostgreSQL. 2 for some seconds is a change of leaders as Prometheus saw it.",
            colours=steps(RED, (1, GREEN), (2, ORANGE)),
        ),
        figure(
            "Last turn",
            _LAST_TURN,
            "How long ago the leader's jobs turned. Normal: seconds. More while there is a leader: it hangs, or "
            "PostgreSQL is slow. Restart it; another one takes over.",
            unit="s",
            colours=steps(GREEN, (15, ORANGE), (60, RED)),
            absent=NO_LEADER,
        ),
        figure(
            "Outbox",
            of_leader("outbox_pending"),
            "Tasks that are accepted and not published yet. Normal: near 0. If it grows, the leader does not reach "
            "Redis, or Redis is full.",
            colours=steps(GREEN, (1000, ORANGE), (10000, RED)),
            absent=NO_LEADER,
        ),
        figure(
            "Oldest in the outbox",
            age("outbox_oldest_timestamp_seconds"),
            "Normal: below a second. More: see Outbox below.",
            unit="s",
            colours=steps(GREEN, (10, ORANGE), (60, RED)),
            absent=NO_LEADER,
        ),
        figure(
            "Tasks unaccounted for",
            of_leader("tasks_unaccounted"),
            "Queued tasks that Redis did not know of. Normal: 0. They are published again by themselves. If they come "
            "back, Redis loses data: check that it persists and that its policy is noeviction.",
            colours=steps(GREEN, (1, RED)),
            absent=NO_LEADER,
        ),
        figure(
            "Age of the counts",
            since("scheduler_snapshot_timestamp_seconds"),
            "How long ago the queues were last counted. Dead letters are counted apart, every 30 s. Normal: seconds, "
            "up to a minute where counting takes long. More: PostgreSQL is slow.",
            unit="s",
            colours=steps(GREEN, (120, ORANGE), (300, RED)),
            absent=NO_COUNT,
        ),
    ]


def _leadership() -> list[Panel]:
    return [
        timeline(
            "Who leads",
            Query(f"max by (instance) ({series('scheduler_is_leader')})", "{{instance}}"),
            "Normal: one line leads, the others stand by. Many changes: the leader loses its connection to PostgreSQL "
            "or gets too little processor time.",
            names={"0": ("stands by", ORANGE), "1": ("leads", GREEN)},
        ),
        graph(
            "Last turn, and age of the counts",
            [
                Query(_LAST_TURN, "last turn"),
                Query(since("scheduler_snapshot_timestamp_seconds"), "age of the counts"),
            ],
            "Normal: both saw teeth of a few seconds. A line that rises with the clock: no leader, or a leader that "
            "hangs.",
            unit="s",
        ),
    ]


def _outbox() -> list[Panel]:
    return [
        graph(
            "Waiting to be published",
            [Query(of_leader("outbox_pending"), "pending")],
            "Normal: near 0. It rises while Redis is away or full, and falls quickly afterwards; nothing is lost.",
            width=8,
        ),
        graph(
            "Oldest in the outbox",
            [Query(age("outbox_oldest_timestamp_seconds"), "oldest")],
            "Normal: below a second. A line that rises with the clock: nothing is published. See the log of the "
            "leader.",
            unit="s",
            width=8,
        ),
        graph(
            "Published by the relay",
            [
                Query(rate("outbox_relayed_total"), "relayed"),
                Query(rate("tasks_reconciled_total"), "published again"),
            ],
            "What the relay publishes, the API does not have to. Published again: Redis had lost the message; normal: "
            "0.",
            unit=PER_SECOND,
            width=8,
        ),
    ]


def _schedules() -> list[Panel]:
    return [
        graph(
            "Due times, by outcome",
            [Query(increase("schedule_fires_total", "outcome"), "{{outcome}}")],
            "submitted: as it should be. misfired, coalesced, too_old: it was late, and the schedule says what then. "
            "overlap: the task before still ran. no_live_worker, unusable: look at it with `taskyard-scheduler "
            "schedules list`.",
            stacked=True,
            width=8,
        ),
        graph(
            "Late by",
            quantiles("schedule_drift_seconds"),
            "How much later than its due time a task was submitted. Normal: below a second; some ten seconds when "
            "leaders change.",
            unit="s",
            width=8,
        ),
        heat_map(
            "Late by, each due time",
            heat("schedule_drift_seconds"),
            "How many were how late. Normal: a band at the bottom.",
            width=8,
        ),
    ]


def _rescue() -> list[Panel]:
    return [
        graph(
            "Tasks of lost workers",
            [Query(_RECOVERED_BY_SCHEDULER, "taken back")],
            "Running tasks taken back from workers that no longer renew their lease. Normal: 0. Look for a machine or "
            "a container that went away.",
            links=[link("Queues and workers", QUEUES)],
        ),
        graph(
            "Failed for good without a worker",
            [Query(increase("tasks_dead_lettered_total", "reason", reason="~crash_limit|expired"), "{{reason}}")],
            "crash_limit: the task ended too many children or workers. expired: its time was over before it began; "
            "too few workers. Normal: 0.",
        ),
        graph(
            "Tasks unaccounted for",
            [Query(of_leader("tasks_unaccounted"), "unaccounted")],
            "Queued tasks that Redis did not know of. Normal: 0. After a loss in Redis they go out again in a minute "
            "or so.",
        ),
        graph(
            "Counts that failed",
            [Query(increase("scheduler_snapshot_failures_total"), "failed")],
            "Counting the ledger ended with an error or its time-out; the last counts are shown on. Normal: 0. "
            "PostgreSQL is slow or away.",
        ),
    ]


def _redis() -> list[Panel]:
    memory, most = of_leader("broker_memory_bytes"), of_leader("broker_max_memory_bytes")
    return [
        graph(
            "Memory",
            [Query(memory, "used"), Query(most, "maxmemory (0: no limit)")],
            "Normal: far below maxmemory; it grows with the backlog. When it is full, tasks stay in the outbox.",
            unit="bytes",
        ),
        graph(
            "Memory, share of maxmemory",
            [Query(share_of_limit(memory, most), "used")],
            "0 where Redis has no maxmemory. Above 90 %: drain the backlog, or raise maxmemory.",
            unit="percentunit",
            most=1,
            colours=steps(GREEN, (0.9, RED)),
        ),
        graph(
            "Evicted keys",
            [Query(f"max({series('broker_evicted_keys_total')})", "evicted")],
            "Since Redis started. It has to be 0: each key may be queued work. Set maxmemory-policy to noeviction; "
            "what was lost is published again.",
        ),
        timeline(
            "Redis, as the leader sees it",
            Query(f"min({series('broker_up')})", "Redis"),
            "Normal: answers. A gap: no leader. The overview shows how the other services see it.",
            names={"0": ("away", RED), "1": ("answers", GREEN)},
            links=[link("Overview", OVERVIEW)],
        ),
    ]

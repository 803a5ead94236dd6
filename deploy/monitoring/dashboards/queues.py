"""Queues and workers: what waits, since when, and whether somebody takes it."""

from __future__ import annotations

from grafana_foundation_sdk.models.dashboard import Dashboard

from .boards import QUEUE_CHOICE, QUEUES, SCHEDULER, TASK_TYPES, Row, board, link
from .panels import GREEN, NO_COUNT, ORANGE, PER_SECOND, RED, Panel, figure, graph, heat_map, steps
from .queries import (
    Query,
    age,
    heat,
    increase,
    of_leader,
    or_none,
    quantile,
    quantiles,
    rate,
    series,
    share,
    total,
)

_CHOSEN = {"queue": "~$queue"}
_THIS_QUEUE = link("Queue ${__field.labels.queue}", QUEUES, "queue")
_TYPES = link("Task types of ${__field.labels.queue}", TASK_TYPES, "queue")
_WAITING = of_leader("queue_tasks", "queue, state", by="queue", state="queued", **_CHOSEN)
_WORKERS = of_leader("queue_workers", "queue", by="queue", **_CHOSEN)
# Of each installation by itself: another's workers serve their own queues.
_SERVED = of_leader("queue_workers", "queue", by="namespace, queue", **_CHOSEN)
_QUEUED = of_leader("queue_tasks", "queue, state", by="namespace, queue", state="queued", **_CHOSEN)
_PAUSED = of_leader("queue_paused", "queue", by="queue", **_CHOSEN)
_MEMORY_SHARE = f"{series('worker_memory_bytes')} / ({series('worker_memory_limit_bytes')} > 0)"


def queues() -> Dashboard:
    return board(
        QUEUES,
        "Queues and workers",
        "What waits, since when, and whether workers take it. The figures of workers are of all queues.",
        [
            Row("Now", _now()),
            Row("Queues", _queues()),
            Row("Workers", _workers()),
            Row("Health of workers", _health()),
        ],
        variables=[QUEUE_CHOICE],
    )


def _now() -> list[Panel]:
    return [
        figure(
            "Tasks that wait",
            of_leader("queue_tasks", "queue, state", state="queued", **_CHOSEN),
            "Queued tasks. What counts is whether it shrinks, and for how long the oldest waits.",
            absent=NO_COUNT,
        ),
        figure(
            "Oldest waiting task",
            age("queue_oldest_timestamp_seconds", **_CHOSEN),
            "Normal: seconds. If it rises with the clock, nothing is taken from some queue: see workers, by queue.",
            unit="s",
            colours=steps(GREEN, (60, ORANGE), (900, RED)),
            absent=NO_COUNT,
        ),
        figure(
            "Queues without a worker",
            f"count({_SERVED} == 0 and {_QUEUED} > 0) or 0 * count({_SERVED})",
            "Queues in which tasks wait and that no living worker serves. Normal: 0. Start a worker with "
            "`taskyard-worker run --queues NAME`; `taskyard-worker inspect queues` lists who serves what.",
            colours=steps(GREEN, (1, RED)),
            absent=NO_COUNT,
        ),
        figure(
            "Slots in use",
            share(total("worker_slots_busy"), total("worker_slots")),
            "Of all tasks that the workers can run at a time. At 100 % while tasks wait, start more workers; far "
            "below while tasks wait, look whether workers serve the right queues and reach Redis.",
            unit="percentunit",
        ),
        figure(
            "Longest running task",
            age("longest_running_task_start_timestamp_seconds", **_CHOSEN),
            "Normal: below the time limits of your types. `taskyard-worker inspect active` names it; `taskyard tasks "
            "cancel ID` stops it.",
            unit="s",
            absent="no worker",
        ),
        figure(
            "Memory of workers, at most",
            f"max({_MEMORY_SHARE}) or vector(0)",
            "Of its limit, in the worker that is closest to it; 0 where workers have no limit. Normal: below 80 %. "
            "The kernel ends a worker that goes beyond: lower --threads or --max-memory-per-child, or give it more.",
            unit="percentunit",
            colours=steps(GREEN, (0.8, ORANGE), (0.95, RED)),
        ),
    ]


def _queues() -> list[Panel]:
    return [
        graph(
            "Tasks, by state",
            [Query(of_leader("queue_tasks", "queue, state", by="state", **_CHOSEN), "{{state}}")],
            "What is not final. queued: waits for a worker. running: has one. retrying: failed and waits for its next "
            "attempt. scheduled: its time has not come. blocked: waits for other tasks.",
            stacked=True,
        ),
        graph(
            "Tasks that wait, by queue",
            [Query(_WAITING, "{{queue}}")],
            "Normal: comes back to 0. If it grows, more is submitted than workers can take, or nobody takes anything.",
            links=[_THIS_QUEUE, _TYPES],
        ),
        graph(
            "Oldest waiting task, by queue",
            [Query(age("queue_oldest_timestamp_seconds", "queue", **_CHOSEN), "{{queue}}")],
            "A line that rises with the clock: nothing is taken. One that rises more slowly: too few workers.",
            unit="s",
            links=[_THIS_QUEUE, _TYPES],
        ),
        graph(
            "Tasks that start, by queue",
            [Query(rate("task_queue_wait_seconds_count", "queue", **_CHOSEN), "{{queue}}")],
            "What workers take. 0 while tasks wait: no worker, or one that does not reach Redis or PostgreSQL.",
            unit=PER_SECOND,
            links=[_THIS_QUEUE, _TYPES],
        ),
        graph(
            "Waiting time",
            quantiles("task_queue_wait_seconds", **_CHOSEN),
            "From when a task was due to its start. Normal: milliseconds while slots are free.",
            unit="s",
        ),
        graph(
            "Waiting time, by queue",
            [Query(quantile(0.95, "task_queue_wait_seconds", "queue", **_CHOSEN), "{{queue}}")],
            "95 % waited less. A queue of short urgent tasks that shares workers with long ones waits for them: give "
            "it workers of its own.",
            unit="s",
            links=[_THIS_QUEUE, _TYPES],
        ),
        heat_map(
            "Waiting time, all tasks",
            heat("task_queue_wait_seconds", **_CHOSEN),
            "How many tasks waited how long. Normal: a band at the bottom. A band that climbs is a backlog.",
        ),
        graph(
            "Paused queues",
            [Query(_PAUSED, "{{queue}}")],
            "1 while a person has paused it: its tasks wait, and its alerts are silent. `taskyard queues list` says "
            "since when and by whom; `taskyard queues resume NAME` ends it.",
            links=[_THIS_QUEUE],
        ),
    ]


def _workers() -> list[Panel]:
    return [
        graph(
            "Workers, by queue",
            [Query(_WORKERS, "{{queue}}")],
            "Living workers that serve each queue, as the ledger knows them. Normal: as many as you started; never 0 "
            "for a queue with tasks.",
            links=[_THIS_QUEUE],
        ),
        graph(
            "Slots",
            [Query(total("worker_slots"), "all"), Query(total("worker_slots_busy"), "in use")],
            "Tasks that can run at a time, and those that do. If both meet while tasks wait, workers are the limit.",
        ),
        graph(
            "Tasks in progress, by queue",
            [Query(total("tasks_in_progress", "queue", **_CHOSEN), "{{queue}}")],
            "Claimed by a worker and not yet recorded. Normal: up to the number of slots.",
            links=[_THIS_QUEUE, _TYPES],
        ),
        graph(
            "Longest running task, by queue",
            [Query(age("longest_running_task_start_timestamp_seconds", "queue", **_CHOSEN), "{{queue}}")],
            "A line that rises with the clock is one task that goes on: `taskyard-worker inspect active` names it.",
            unit="s",
            links=[_THIS_QUEUE, _TYPES],
        ),
    ]


def _health() -> list[Panel]:
    return [
        graph(
            "Last poll",
            [Query(age("worker_last_poll_timestamp_seconds", "instance"), "{{instance}}")],
            "How long ago the child that is furthest behind asked for work. Normal: a few seconds. More: the worker "
            "hangs or does not reach Redis; look at its log, then restart it. Its tasks are taken back by themselves.",
            unit="s",
            colours=steps(GREEN, (30, RED)),
        ),
        graph(
            "Children that ended, by cause",
            [Query(increase("worker_children_restarted_total", "cause"), "{{cause}}")],
            "retired: recycled, normal. exit and signal: it crashed; see Task types for the type that does it. limit: "
            "a task was past its limit and did not stop. Many in a row: a crash loop.",
            stacked=True,
        ),
        graph(
            "Children that retired, by reason",
            [Query(increase("worker_children_retired_total", "why"), "{{why}}")],
            "Why children took no more tasks. max_tasks is routine. Often max_memory: tasks leak, or the limit is "
            "tight.",
            stacked=True,
        ),
        graph(
            "Tasks taken back, by cause",
            [Query(increase("tasks_recovered_total", "cause"), "{{cause}}")],
            "Running tasks of children or workers that died; they run again. Normal: 0 but for kills and crashes. "
            "worker_lost: a whole worker was gone, machine or container.",
            stacked=True,
        ),
        graph(
            "Memory, by worker",
            [
                Query(f"sum by (instance) ({series('worker_memory_bytes')})", "{{instance}}"),
                Query(f"min({series('worker_memory_limit_bytes')} > 0) or vector(0)", "lowest limit (0: none)"),
            ],
            "All processes of a worker together. Normal: level, with steps as tasks come and go. A slope that goes on "
            "when children are recycled: restart the worker.",
            unit="bytes",
        ),
        graph(
            "Processes that the kernel ended for lack of memory",
            [Query(increase("worker_oom_kills_total", "instance"), "{{instance}}")],
            "Normal: 0. Give the worker more memory, fewer threads, or its heavy types a worker of their own. 0 as "
            "well where the control group cannot be read.",
        ),
        graph(
            "Ends that came too late",
            [Query(increase("fenced_writes_total"), "fenced")],
            "Results of workers that had lost their claim; they are dropped, so that no task ends twice. Normal: 0. "
            "More: workers were frozen or cut off for longer than their lease.",
            links=[link("Scheduler", SCHEDULER)],
        ),
        graph(
            "Errors of hooks, by hook",
            [Query(or_none(increase("hook_errors_total", "hook"), "hook"), "{{hook}}")],
            "Normal: 0. Errors of your own hooks, which change no outcome; the log has them as `hook_failed`.",
        ),
    ]

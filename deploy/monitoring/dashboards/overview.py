"""Overview: is all well, and if not, where to look."""

from __future__ import annotations

from grafana_foundation_sdk.models.dashboard import Dashboard

from .boards import API, OVERVIEW, QUEUES, SCHEDULER, TASK_TYPES, Row, board, link
from .panels import GREEN, NO_COUNT, NO_LEADER, ORANGE, PER_SECOND, RED, Panel, figure, graph, steps, timeline
from .queries import (
    Query,
    age,
    matching,
    of_leader,
    or_none,
    or_zero,
    quantiles,
    rate,
    series,
    share,
    share_of_limit,
    total,
    with_service,
)
from .service_levels import failed_requests, failed_tasks, service_levels

_WAITING = of_leader("queue_tasks", "queue, state", state="queued")
_WAITING_BY_QUEUE = of_leader("queue_tasks", "queue, state", by="queue", state="queued")
_DEPENDENCIES = series("dependency_up")
_SUCCEEDED = rate("task_attempts_total", outcome="succeeded")
_ALERTS = "ALERTS" + matching(alertname="~Taskyard.+", alertstate="firing", namespace="~$namespace")


def overview() -> Dashboard:
    return board(
        OVERVIEW,
        "Overview",
        "One look: is all well? Each figure leads to the dashboard with its details.",
        [
            Row("Is all well?", [*_users(), *_parts()]),
            Row("What happened when", _history()),
            Row("Service levels", service_levels()),
            Row("Work", _work()),
            Row("How fast", _speed()),
        ],
    )


def _users() -> list[Panel]:
    """What callers notice."""
    return [
        figure(
            "Alerts that fire",
            or_zero('count(ALERTS{alertstate="firing", namespace=~"$namespace"})'),
            'Normal: 0. Below, under "What happened when", stand their names; each has a runbook.',
            colours=steps(GREEN, (1, RED)),
        ),
        figure(
            "Tasks that failed for good",
            failed_tasks(),
            "Of the tasks that ended, those that will not be tried again. Normal: below 1 %. Task types shows which "
            "type fails and how; `taskyard-scheduler dead-letters list` shows the tasks and their errors.",
            unit="percentunit",
            colours=steps(GREEN, (0.01, ORANGE), (0.05, RED)),
            links=[link("Task types", TASK_TYPES)],
        ),
        figure(
            "Requests that failed",
            failed_requests(),
            "Answers with a status of 500 or above, of all. Normal: below 0.1 %. A 503 says that PostgreSQL was away "
            "or the API was full; the dashboard API shows which routes and statuses.",
            unit="percentunit",
            colours=steps(GREEN, (0.001, ORANGE), (0.01, RED)),
            links=[link("API", API)],
        ),
        figure(
            "Oldest waiting task",
            age("queue_oldest_timestamp_seconds"),
            "How long the oldest queued task has waited. Normal: seconds, or what your longest bulk job takes. If it "
            "grows: is there a worker for the queue, and are its slots busy? Queues and workers shows both.",
            unit="s",
            colours=steps(GREEN, (60, ORANGE), (900, RED)),
            links=[link("Queues and workers", QUEUES)],
            absent=NO_COUNT,
        ),
        figure(
            "Tasks that wait",
            _WAITING,
            "Queued tasks of all queues. What is normal depends on your load; what counts is whether it shrinks.",
            links=[link("Queues and workers", QUEUES)],
            absent=NO_COUNT,
        ),
        figure(
            "Dead letters",
            of_leader("dead_letters", "queue, task"),
            "Tasks that failed for good and that nobody has retried or discarded yet. Normal: 0, or a number that you "
            "know. Retry or discard them with `taskyard-scheduler dead-letters`.",
            colours=steps(GREEN, (1, ORANGE), (100, RED)),
            links=[link("Task types", TASK_TYPES)],
            absent=NO_COUNT,
        ),
    ]


def _parts() -> list[Panel]:
    """Whether each part does its work."""
    return [
        figure(
            "Leaders",
            or_zero(total("scheduler_is_leader")),
            "Normal: 1. With 0 nothing is published, rescued or scheduled: is a scheduler running, and does it reach "
            "PostgreSQL? 2 for some seconds is a change of leaders as Prometheus saw it.",
            colours=steps(RED, (1, GREEN), (2, ORANGE)),
            links=[link("Scheduler", SCHEDULER)],
        ),
        figure(
            "Replicas that miss a server",
            or_zero(f"count({_DEPENDENCIES} == 0)"),
            "Replicas that do not reach PostgreSQL or Redis, counted once for each of the two. Normal: 0. If all "
            "replicas miss one, look at that server; if a single one does, look at its network and its logs.",
            colours=steps(GREEN, (1, RED)),
        ),
        figure(
            "Workers",
            or_zero(f"count({series('build_info', service='worker')})"),
            "Workers that answer Prometheus. Normal: as many as you started. If some are missing, look at their logs.",
            colours=steps(RED, (1, GREEN)),
            links=[link("Queues and workers", QUEUES)],
        ),
        figure(
            "Slots in use",
            share(total("worker_slots_busy"), total("worker_slots")),
            "Of the tasks that the workers can run at a time. At 100 % while tasks wait, start more workers.",
            unit="percentunit",
            links=[link("Queues and workers", QUEUES)],
        ),
        figure(
            "Tasks unaccounted for",
            of_leader("tasks_unaccounted"),
            "Queued tasks that Redis did not know of. Normal: 0. They are published again by themselves; if they come "
            "back, Redis loses data: check that it persists and that its policy is noeviction.",
            colours=steps(GREEN, (1, RED)),
            links=[link("Scheduler", SCHEDULER)],
            absent=NO_LEADER,
        ),
        figure(
            "Memory of Redis",
            share_of_limit(of_leader("broker_memory_bytes"), of_leader("broker_max_memory_bytes")),
            "Of its maxmemory; 0 where it has none. Normal: below 70 %. A full Redis refuses new messages: tasks stay "
            "in the outbox and go out later. Find out why the backlog grows, or raise maxmemory.",
            unit="percentunit",
            colours=steps(GREEN, (0.7, ORANGE), (0.9, RED)),
            links=[link("Scheduler", SCHEDULER)],
            absent=NO_LEADER,
        ),
    ]


def _work() -> list[Panel]:
    return [
        graph(
            "Tasks a second",
            [
                Query(rate("tasks_submitted_total", result="accepted"), "submitted"),
                Query(_SUCCEEDED, "succeeded"),
                Query(rate("task_attempts_total", outcome="retrying"), "to be tried again"),
                Query(rate("tasks_dead_lettered_total"), "failed for good"),
            ],
            "Normal: as many succeed as are submitted. If fewer do for long, the backlog grows. Tasks that schedules, "
            'applications or other tasks submit do not pass through the API, and are not in "submitted".',
            unit=PER_SECOND,
            width=24,
        ),
        graph(
            "Tasks that wait, by queue",
            [Query(_WAITING_BY_QUEUE, "{{queue}}")],
            "Normal: comes back to 0. Click on a queue for its details. A gap means that no scheduler led.",
            links=[link("Queue ${__field.labels.queue}", QUEUES, "queue")],
        ),
        graph(
            "Oldest waiting task, by queue",
            [Query(age("queue_oldest_timestamp_seconds", by="queue"), "{{queue}}")],
            "Normal: seconds. A line that rises with the clock: nothing is taken from that queue.",
            unit="s",
            links=[link("Queue ${__field.labels.queue}", QUEUES, "queue")],
        ),
    ]


def _speed() -> list[Panel]:
    return [
        graph(
            "Waiting for a worker",
            quantiles("task_queue_wait_seconds"),
            "From when a task was due to its start. Normal: milliseconds while slots are free. If it rises, more "
            "tasks come than the workers can take.",
            unit="s",
            links=[link("Queues and workers", QUEUES)],
        ),
        graph(
            "Running",
            quantiles("task_run_seconds"),
            "How long attempts ran, of all task types. Normal: what you know of your tasks. If it rises, find the "
            "type in Task types; often something that it calls has become slow.",
            unit="s",
            links=[link("Task types", TASK_TYPES)],
        ),
    ]


def _history() -> list[Panel]:
    return [
        timeline(
            "Alerts",
            Query(or_none(f"max by (alertname, severity) ({_ALERTS})", "alertname"), "{{alertname}} {{severity}}"),
            "When each alert fired. The earliest is often the cause and the others follow from it. The link in an "
            "alert leads to its runbook.",
            names={"0": ("none", GREEN), "1": ("fires", RED)},
        ),
        timeline(
            "Servers, as each service sees them",
            Query(f"min by (service, dependency) ({with_service(_DEPENDENCIES)})", "{{service}} {{dependency}}"),
            "Whether all replicas of a service reach PostgreSQL and Redis. If only one service misses a server, look "
            "at its network, its password and its pool; if all do, look at the server.",
            names={"0": ("away", RED), "1": ("answers", GREEN)},
        ),
        graph(
            "Replicas that answer Prometheus",
            [Query(f"count by (service) ({series('build_info')})", "{{service}}")],
            "Normal: as many as you started. A line that ends: all replicas of the service are away.",
        ),
        graph(
            "Memory of Redis",
            [
                Query(of_leader("broker_memory_bytes"), "used"),
                Query(of_leader("broker_max_memory_bytes"), "maxmemory (0: no limit)"),
            ],
            "Normal: far below maxmemory. It grows with the backlog.",
            unit="bytes",
            links=[link("Scheduler", SCHEDULER)],
        ),
    ]

"""What users were promised, and how much of it is broken: the shares that the alerts of ../rules/slo.yml watch. An
objective that changes there changes here."""

from __future__ import annotations

from .boards import API, QUEUES, TASK_TYPES, link
from .panels import GREEN, RED, Panel, graph, steps
from .queries import NOW, Query, rate, share

# Of the tasks that end, of those that start, and of the requests: so many may fail, or wait longer than LATE seconds.
TASKS_FAIL, TASKS_WAIT, REQUESTS_FAIL = 0.01, 0.01, 0.001
LATE = "60.0"
_WINDOWS = {"now": NOW, "1 hour": "1h", "6 hours": "6h"}


def failed_tasks(over: str = NOW) -> str:
    dead = rate("tasks_dead_lettered_total", over=over)
    succeeded = rate("task_attempts_total", over=over, outcome="succeeded")
    # Without workers there are no attempts, and tasks expire all the same.
    return share(dead, f"{dead} + {succeeded} or {dead} or {succeeded}")


def late_starts(over: str = NOW) -> str:
    begun = rate("task_queue_wait_seconds_count", over=over)
    return share(f"{begun} - {rate('task_queue_wait_seconds_bucket', over=over, le=LATE)}", begun)


def failed_requests(over: str = NOW) -> str:
    # Probes are many, and no caller's.
    asked = {"over": over, "route": "!~/health/.*"}
    return share(rate("http_requests_total", code="~5..", **asked), rate("http_requests_total", **asked))


def service_levels() -> list[Panel]:
    return [
        graph(
            "Tasks that failed for good",
            [Query(failed_tasks(over), name) for name, over in _WINDOWS.items()],
            "Share of the tasks that ended. The dashed line is the objective: above it over hours, the error budget "
            "of the month is used up before its end. Task types shows which type fails.",
            unit="percentunit",
            colours=steps(GREEN, (TASKS_FAIL, RED)),
            links=[link("Task types", TASK_TYPES)],
            width=8,
        ),
        graph(
            "Tasks that waited too long",
            [Query(late_starts(over), name) for name, over in _WINDOWS.items()],
            "Share of the tasks that started more than a minute after they were due. The dashed line is the "
            "objective. Queues of long or unhurried tasks are in it, which the alerts leave out. Queues and workers "
            "shows which queue it is.",
            unit="percentunit",
            colours=steps(GREEN, (TASKS_WAIT, RED)),
            links=[link("Queues and workers", QUEUES)],
            width=8,
        ),
        graph(
            "Requests that failed",
            [Query(failed_requests(over), name) for name, over in _WINDOWS.items()],
            "Share of the requests that were answered with a status of 500 or above, probes left out. The dashed line "
            "is the objective. The dashboard API shows the routes and statuses.",
            unit="percentunit",
            colours=steps(GREEN, (REQUESTS_FAIL, RED)),
            links=[link("API", API)],
            width=8,
        ),
    ]

"""Task types: which type fails, how, since when, and how long it takes."""

from __future__ import annotations

from grafana_foundation_sdk.models.dashboard import Dashboard

from .boards import QUEUE_CHOICE, QUEUES, TASK_CHOICE, TASK_TYPES, Row, board, link
from .panels import GREEN, NO_COUNT, ORANGE, PER_SECOND, RED, Panel, figure, graph, heat_map, steps
from .queries import Query, heat, increase, of_leader, quantile, quantiles, rate, share, top

_CHOSEN = {"queue": "~$queue", "task": "~$task"}
_ENDED = "~succeeded|failed|retrying|crashed"
_NOT_SUCCEEDED = "~failed|retrying|crashed"
_THIS_TYPE = link("Task type ${__field.labels.task}", TASK_TYPES, "task")


def task_types() -> Dashboard:
    return board(
        TASK_TYPES,
        "Task types",
        "Which task type fails, how, since when, and how long it takes. Choose a type above, or click on a line.",
        [
            Row("Now", _now()),
            Row("Outcomes", _outcomes()),
            Row("Time", _time()),
            Row("Dead letters and retries", _dead_letters()),
            Row("What ends children", _children()),
        ],
        variables=[QUEUE_CHOICE, TASK_CHOICE],
    )


def _now() -> list[Panel]:
    not_succeeded = rate("task_attempts_total", outcome=_NOT_SUCCEEDED, **_CHOSEN)
    return [
        figure(
            "Attempts a second",
            rate("task_attempts_total", **_CHOSEN),
            "Attempts that ended, whatever came of them. What is normal depends on your load.",
            unit=PER_SECOND,
            width=6,
        ),
        figure(
            "Attempts that did not succeed",
            share(not_succeeded, rate("task_attempts_total", outcome=_ENDED, **_CHOSEN)),
            "Share of the attempts that ended with an error, retried or not. Normal: what you know of your types; "
            "some call servers that fail now and then. If it jumps, look below at what kind of failure it is.",
            unit="percentunit",
            colours=steps(GREEN, (0.05, ORANGE), (0.25, RED)),
            width=6,
        ),
        figure(
            "Dead letters",
            of_leader("dead_letters", "queue, task", **_CHOSEN),
            "Tasks that failed for good and that nobody has retried or discarded yet. `taskyard-scheduler "
            "dead-letters list` shows their errors; once the cause is gone, `taskyard-scheduler dead-letters retry` "
            "runs them again.",
            colours=steps(GREEN, (1, ORANGE), (100, RED)),
            width=6,
            absent=NO_COUNT,
        ),
        figure(
            "95 % run shorter than",
            quantile(0.95, "task_run_seconds", **_CHOSEN),
            'Normal: what you know of your types, and far below their time limits. "no data": nothing ran just now.',
            unit="s",
            width=6,
        ),
    ]


def _outcomes() -> list[Panel]:
    return [
        graph(
            "Attempts, by outcome",
            [Query(rate("task_attempts_total", "outcome", **_CHOSEN), "{{outcome}}")],
            "Normal: nearly all succeeded. retrying: failed and will be tried again. failed: failed for good. "
            "released: given back by a worker that stops. crashed: their child process died.",
            unit=PER_SECOND,
            stacked=True,
        ),
        graph(
            "Failures, by kind",
            [Query(rate("task_failures_total", "kind", **_CHOSEN), "{{kind}}")],
            "exception: the task's own error, see its log lines `task_failed` and `task_retrying`. timeout: past its "
            "limit. crash: it took its child with it, as out of memory. invalid: parameters or result of a wrong "
            "form. shutdown: a worker stopped; normal during a deployment.",
            unit=PER_SECOND,
            stacked=True,
        ),
        graph(
            "Attempts, by type",
            [Query(top(rate("task_attempts_total", "task", **_CHOSEN), "task"), "{{task}}")],
            "The 15 busiest types. Click on one to see it alone. `_other`: types beyond the ceiling of metrics.",
            unit=PER_SECOND,
            links=[_THIS_TYPE],
        ),
        graph(
            "Failures, by type",
            [Query(top(rate("task_failures_total", "task", **_CHOSEN), "task"), "{{task}}")],
            "Attempts that did not succeed, of the 15 types that have most. One type alone: its code, or what it "
            "calls. All at once: a server that all of them need.",
            unit=PER_SECOND,
            links=[_THIS_TYPE],
        ),
    ]


def _time() -> list[Panel]:
    of_types = quantile(0.95, "task_run_seconds", "task", **_CHOSEN)
    return [
        graph(
            "Run time",
            quantiles("task_run_seconds", **_CHOSEN),
            "How long attempts ran. Normal: steady. If p99 rises and p50 does not, a few tasks are slow; if all rise, "
            "what they call is slow, or the machine has too little processor time.",
            unit="s",
        ),
        graph(
            "Run time, by type",
            [Query(top(of_types, "task"), "{{task}}")],
            "95 % of the attempts ran shorter. The 15 slowest types. Compare with the time limit of the type: "
            "`taskyard-worker types` lists it.",
            unit="s",
            links=[_THIS_TYPE],
        ),
        heat_map(
            "Run time, all attempts",
            heat("task_run_seconds", **_CHOSEN),
            "How many attempts ran how long. Two bands: two sorts of work, or a cache that hits and misses. A band "
            "that wanders up: something slows down.",
            width=24,
        ),
    ]


def _dead_letters() -> list[Panel]:
    return [
        graph(
            "Dead letters, by type",
            [Query(top(of_leader("dead_letters", "queue, task", by="task", **_CHOSEN), "task"), "{{task}}")],
            "Normal: flat. It falls when somebody retries or discards them, and when maintenance deletes old tasks.",
            links=[_THIS_TYPE],
        ),
        graph(
            "Failed for good, by reason",
            [Query(increase("tasks_dead_lettered_total", "reason"), "{{reason}}")],
            "How many, of all types together. max_attempts: all attempts failed. not_retryable: the task said that "
            "another attempt is of no use. crash_limit: it ended too many children. expired: its time was over before "
            "it began.",
            stacked=True,
        ),
        graph(
            "Retries, by type",
            [Query(top(rate("task_attempts_total", "task", outcome="retrying", **_CHOSEN), "task"), "{{task}}")],
            "Attempts that will be followed by another. Normal: few. Many of them load the workers with work that "
            "comes to nothing: see what fails.",
            unit=PER_SECOND,
            links=[_THIS_TYPE],
        ),
        graph(
            "Retries of all types",
            [Query(rate("tasks_retried_total"), "retries")],
            "Whatever is chosen above. Retries wait longer after each attempt, so a failing server gives a burst "
            "first.",
            unit=PER_SECOND,
        ),
        graph(
            "Solved errors that came back, by queue",
            [Query(of_leader("errors_returned", "queue", by="queue"), "{{queue}}")],
            "Kinds of failures that a person marked as solved, and that occurred again. Normal: 0. GET "
            "/api/v1/errors?state=returned names them.",
            width=24,
        ),
    ]


def _children() -> list[Panel]:
    return [
        graph(
            "Children that a task ended, by type",
            [Query(top(increase("worker_children_ended_by_tasks_total", "task", task="~$task"), "task"), "{{task}}")],
            "Normal: 0. The task was past its limit and did not stop, or crashed its process, as out of memory. Other "
            "tasks of the child start again. `taskyard-worker run-task NAME PARAMS` runs one alone, to find out why.",
            links=[_THIS_TYPE],
            width=8,
        ),
        graph(
            "Types that were slowed down",
            [Query(top(increase("tasks_slowed_total", "task", task="~$task"), "task"), "{{task}}")],
            "Normal: 0. A type that keeps ending children is left alone for a while, so that others are not "
            "disturbed; its tasks wait. Mend the type, or cancel its tasks.",
            links=[_THIS_TYPE],
            width=8,
        ),
        graph(
            "Programs that tasks left running",
            [Query(increase("task_programs_left_total", "kind"), "{{kind}}")],
            "Normal: 0. Of all types: processes that a task started and did not wait for. They are ended; a type that "
            "leaves them leaks memory until then.",
            links=[link("Queues and workers", QUEUES)],
            width=8,
        ),
    ]

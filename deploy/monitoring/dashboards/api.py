"""API: what callers ask for, what they get, and how fast."""

from __future__ import annotations

from grafana_foundation_sdk.models.dashboard import Dashboard

from .boards import API, ROUTE_CHOICE, TASK_TYPES, Row, board, link
from .panels import GREEN, ORANGE, PER_SECOND, RED, Panel, figure, graph, heat_map, steps
from .queries import Query, heat, matching, or_zero, quantile, quantiles, rate, series, share, top, total, with_service

_CHOSEN = {"route": "~$route"}
_THIS_ROUTE = link("Route ${__field.labels.route}", API, "route")
_IS_API = f"on (namespace, job, instance) group_left {series('build_info', service='api')}"
_IN_USE = series("db_pool_connections", state="in_use")
_CPU = "process_cpu_seconds_total" + matching(namespace="~$namespace")


def api() -> Dashboard:
    return board(
        API,
        "API",
        "What callers ask for, what they get, and how fast.",
        [
            Row("Now", _now()),
            Row("Requests", _requests()),
            Row("Latency", _latency()),
            Row("Submits", _submits()),
            Row("Callers", _callers()),
            Row("PostgreSQL, from all services", _database()),
            Row("Console", _console()),
        ],
        variables=[ROUTE_CHOICE],
    )


def _now() -> list[Panel]:
    return [
        figure(
            "Requests a second",
            rate("http_requests_total", **_CHOSEN),
            "Requests that were answered. What is normal depends on your load.",
            unit=PER_SECOND,
        ),
        figure(
            "Requests that failed",
            share(rate("http_requests_total", code="~5..", **_CHOSEN), rate("http_requests_total", **_CHOSEN)),
            "Answers with a status of 500 or above. Normal: below 0.1 %. 503: PostgreSQL was away, or the API was "
            "full. 500: a defect; its log has the request's id.",
            unit="percentunit",
            colours=steps(GREEN, (0.001, ORANGE), (0.01, RED)),
        ),
        figure(
            "95 % answered within",
            quantile(0.95, "http_request_duration_seconds", **_CHOSEN),
            "Requests with ?wait= take as long as they were told to, 60 s at most. Of the others, normal: below 50 ms.",
            unit="s",
        ),
        figure(
            "In progress",
            or_zero(total("http_requests_in_progress")),
            "Of all routes. Normal: few, and callers that wait with ?wait=. If it climbs, PostgreSQL is slow: see "
            "below.",
        ),
        figure(
            "Refused submits",
            share(rate("tasks_submitted_total", result="refused"), rate("tasks_submitted_total")),
            "Of the tasks that callers asked for. A caller sends wrong parameters or a type that is not registered; "
            "its answers say which. Normal: close to 0.",
            unit="percentunit",
            colours=steps(GREEN, (0.05, ORANGE), (0.5, RED)),
        ),
        figure(
            "Replicas",
            or_zero(f"count({series('build_info', service='api')})"),
            "Processes of the API that answer Prometheus. Normal: as many as you started.",
            colours=steps(RED, (1, GREEN)),
        ),
    ]


def _requests() -> list[Panel]:
    return [
        graph(
            "Requests, by status",
            [Query(rate("http_requests_total", "code", **_CHOSEN), "{{code}}")],
            "Normal: nearly all 2xx. 401: keys; 404 and 422: what callers send; 429: over their rate; 503: PostgreSQL "
            "away, or the API full.",
            unit=PER_SECOND,
            stacked=True,
        ),
        graph(
            "Requests, by route",
            [Query(top(rate("http_requests_total", "route", **_CHOSEN), "route"), "{{route}}")],
            "The 15 busiest. Click on one to see it alone. `_other`: paths that do not exist.",
            unit=PER_SECOND,
            links=[_THIS_ROUTE],
        ),
        graph(
            "Requests that failed, by route",
            [Query(top(rate("http_requests_total", "route", code="~5..", **_CHOSEN), "route"), "{{route}}")],
            "Answers with a status of 500 or above. Normal: 0. One route: a defect; all of them: PostgreSQL.",
            unit=PER_SECOND,
            links=[_THIS_ROUTE],
        ),
        graph(
            "Share of failed and refused requests",
            [
                Query(
                    share(rate("http_requests_total", code=codes, **_CHOSEN), rate("http_requests_total", **_CHOSEN)),
                    name,
                )
                for codes, name in (("~5..", "failed (5xx)"), ("~4..", "refused (4xx)"))
            ],
            "Failed is ours, refused the callers'. Normal: below 0.1 % failed; few refused.",
            unit="percentunit",
        ),
    ]


def _latency() -> list[Panel]:
    duration = "http_request_duration_seconds"
    return [
        graph(
            "Time to answer",
            quantiles(duration, **_CHOSEN),
            "Without streams. Normal: milliseconds; requests with ?wait= last as long as their tasks.",
            unit="s",
        ),
        graph(
            "Time to answer, by route",
            [Query(top(quantile(0.95, duration, "route", **_CHOSEN), "route"), "{{route}}")],
            "95 % are answered within. If all routes rise together, PostgreSQL or the processor is the limit.",
            unit="s",
            links=[_THIS_ROUTE],
        ),
        heat_map(
            "Time to answer, all requests",
            heat(duration, **_CHOSEN),
            "How many requests took how long. Bands apart: some wait, for PostgreSQL or with ?wait=.",
        ),
        graph(
            "In progress, and processor time",
            [
                Query(total("http_requests_in_progress"), "requests in progress"),
                Query(f"sum by (instance) (rate({_CPU}[$__rate_interval]) * {_IS_API})", "processors in {{instance}}"),
            ],
            "A process of the API uses one processor at most. Close to 1: start another with --processes or a "
            "replica. Far below while many requests are in progress: it waits for PostgreSQL.",
        ),
    ]


def _submits() -> list[Panel]:
    return [
        graph(
            "Submits, by result",
            [Query(rate("tasks_submitted_total", "result"), "{{result}}")],
            "Tasks, not requests: a batch has many. refused: what the caller sent is wrong. unavailable: PostgreSQL "
            "was away or the API full; callers try again.",
            unit=PER_SECOND,
            stacked=True,
        ),
        graph(
            "Submits, by task type",
            [Query(top(rate("tasks_submitted_total", "task"), "task"), "{{task}}")],
            "The 15 types that are submitted most. A jump is a new caller, or one that repeats itself.",
            unit=PER_SECOND,
            links=[link("Task type ${__field.labels.task}", TASK_TYPES, "task")],
        ),
    ]


def _callers() -> list[Panel]:
    return [
        graph(
            "Requests without a good key, by reason",
            [Query(rate("auth_failures_total", "reason"), "{{reason}}")],
            "Normal: 0 but for mistakes. revoked_key and expired_key: a caller has not been given its new key. Many "
            "invalid_key: somebody tries keys; the access log has addresses.",
            unit=PER_SECOND,
            stacked=True,
            width=8,
        ),
        graph(
            "Over their rate, by scope",
            [Query(rate("rate_limited_total", "scope"), "{{scope}}")],
            "Requests answered with 429. Normal: 0. Raise the rate of the key, or speak to the caller.",
            unit=PER_SECOND,
            stacked=True,
            width=8,
        ),
        graph(
            "Clients that follow events",
            [Query(total("sse_clients"), "clients")],
            "Open streams. Each costs a connection and some memory, none of PostgreSQL's.",
            width=8,
        ),
    ]


def _database() -> list[Panel]:
    seconds = quantile(0.95, "db_transaction_seconds", "operation")
    return [
        graph(
            "Connections in use, by service",
            [Query(f"sum by (service) ({with_service(_IN_USE)})", "{{service}}")],
            "Of the pools of all replicas together. Normal: few. At the size of its pool a service waits for "
            "connections: transactions have become slow, or the pool is too small.",
        ),
        graph(
            "Transactions",
            [Query(seconds, "{{operation}}")],
            "95 % took less. submit and read: the API; claim and finish: workers; probe: the scheduler. Normal: a few "
            "milliseconds. If all rise, PostgreSQL is slow: its locks, its disk, its processor.",
            unit="s",
        ),
        graph(
            "Connections, by state",
            [Query(total("db_pool_connections", "state"), "{{state}}")],
            "Of all services. Compare the sum with max_connections of PostgreSQL.",
            stacked=True,
        ),
        graph(
            "Transactions a second",
            [Query(rate("db_transaction_seconds_count", "operation"), "{{operation}}")],
            "Normal: grows with the load, but more slowly, as both workers and API batch.",
            unit=PER_SECOND,
        ),
    ]


def _console() -> list[Panel]:
    pages, calls = "console_page_seconds", "console_call_seconds"
    return [
        graph(
            "Time to show a page, by page",
            [Query(top(quantile(0.95, pages, "page"), "page"), "{{page}}")],
            "Of the console; 95 % are shown within. Normal: below 0.2 s. Compare with its calls, beside this: where "
            "they are fast, the console's processor is the limit.",
            unit="s",
        ),
        graph(
            "Time of the console's calls of the API",
            quantiles(calls),
            "A page makes one to nine, most of them at the same time. Normal: below 0.1 s, more for statistics of many "
            "task types.",
            unit="s",
        ),
        graph(
            "The console's calls of the API, by outcome",
            [Query(rate(f"{calls}_count", "outcome"), "{{outcome}}")],
            "refused: what a reader's key may not do or see (4xx). failed (5xx) and away: the API. Normal: answered, "
            "and few refused.",
            unit=PER_SECOND,
            stacked=True,
        ),
        graph(
            "Live pages, and refused sign-ins a minute",
            [
                Query(total("console_live_pages"), "live pages"),
                Query(f"60 * {rate('console_sign_ins_refused_total')}", "refused sign-ins"),
            ],
            "Live pages of one console share a subscription to the API's events where it has a key of its own. Many "
            "refused sign-ins: somebody guesses; twelve a minute are let through from one address.",
        ),
    ]

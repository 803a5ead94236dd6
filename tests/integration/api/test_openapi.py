"""The OpenAPI document describes what the service does: Schemathesis looks for differences."""

from operator import itemgetter
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, assume, given, seed, settings
from hypothesis.errors import Unsatisfiable
from sqlalchemy import Engine

from taskyard_api.app import ROUTES
from taskyard_api.openapi import document
from tests.integration.api.conftest import Api
from tests.support.selection_specs import register

# An endless stream; test_events.py tests it.
ENDLESS = {"/api/v1/events"}
PATHS = sorted(set(ROUTES) - ENDLESS)
# A schema cannot express which names exist, what a cron expression is, which years a time may have and how old it may
# be, what a line is, which of two numbers is the larger, and that a raw upload needs X-Filename where a form does not.
MAY_REFUSE_WHAT_FITS = {
    "/api/v1/analytics",
    "/api/v1/audit",
    "/api/v1/crashes",
    "/api/v1/dead-letters",
    "/api/v1/dead-letters/discard",
    "/api/v1/dead-letters/groups",
    "/api/v1/dead-letters/restore",
    "/api/v1/dead-letters/retry",
    "/api/v1/keys",
    "/api/v1/operations",
    "/api/v1/errors",
    "/api/v1/statistics",
    "/api/v1/queues/{name}/purge",
    "/api/v1/selection-runs",
    "/api/v1/records",
    "/api/v1/schedules",
    "/api/v1/schedules/preview",
    "/api/v1/schedules/{schedule_id}",
    "/api/v1/tasks",
    "/api/v1/tasks/batch",
    "/api/v1/tasks/cancel",
    "/api/v1/tasks/{task_id}",
    "/api/v1/tree-items",
    "/api/v1/usage-events",
    "/api/v1/users/{user_id}",
    "/api/v1/webhook-endpoints",
    "/api/v1/workers/{worker_id}/pool",
    "/api/v1/workflows",
}


@pytest.fixture(autouse=True)
def selection_types(engine: Engine) -> None:
    """Without them, selection runs are a 503."""
    register(engine)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("examples", [5, pytest.param(30, marks=pytest.mark.long)])
@pytest.mark.parametrize("paths", [PATHS[n : n + 5] for n in range(0, len(PATHS), 5)], ids=itemgetter(0))
def test_schemathesis_finds_nothing(api: Api, paths: list[str], examples: int) -> None:
    api.submit()
    described = api.http.get("/openapi.json").json()
    for path in paths:
        schema = schemathesis.openapi.from_dict(described)
        schema.config.update(base_url=api.url)
        if path in MAY_REFUSE_WHAT_FITS:
            schema.config.checks.positive_data_acceptance.expected_statuses = ["2xx", "404", "409", "422"]
        results: list[Any] = list(schema.include(path=path).get_all_operations())
        found = [result.ok() for result in results]
        assert found, path
        for operation in found:
            _attack(operation, api, examples)


def _attack(operation: Any, api: Api, examples: int) -> None:
    modes = list(schemathesis.GenerationMode)
    headers = {"Authorization": api.http.headers["Authorization"]}

    for mode in modes:

        @seed(20261120)
        @settings(
            max_examples=examples,
            database=None,
            deadline=None,
            phases=[Phase.explicit, Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy(generation_mode=mode))
        def attack(case: Any) -> None:
            # What is wrong is not sent: an empty list is no parameter.
            assume([] not in (case.query or {}).values())
            case.call_and_validate(headers=headers, timeout=30)

        try:
            attack()
        except Unsatisfiable:
            assert mode.is_negative  # a call without input has no invalid input


def test_the_document_is_served_and_every_answer_is_described(api: Api) -> None:
    served = api.http.get("/openapi.json")
    assert served.headers["Content-Type"].startswith("application/json")
    assert served.json() == document(ROUTES)
    assert served.json()["openapi"].startswith("3.1")
    for path, methods in served.json()["paths"].items():
        for method, operation in methods.items():
            assert operation["summary"], (path, method)
            assert {"400", "406", "500", "503"} <= set(operation["responses"]), (path, method)


def test_the_events_of_a_stream_are_described() -> None:
    paths = document(ROUTES)["paths"]
    for path, words in (("/api/v1/tasks/{task_id}/events", "`TaskEvent`"), ("/api/v1/events", "`workflow_id`")):
        schema = paths[path]["get"]["responses"]["200"]["content"]["text/event-stream"]["schema"]
        assert words in schema["description"]
        assert schema["contentMediaType"] == "text/event-stream"


def test_the_codes_about_task_types_are_described_where_they_are_answered() -> None:
    paths = document(ROUTES)["paths"]
    for path in ("/api/v1/tasks", "/api/v1/tasks/batch"):
        told = paths[path]["post"]["description"]
        for code in ("no_task_types", "unknown_task_type", "queue_not_served", "no_live_worker"):
            assert f"`{code}`" in told, (path, code)
    thumbnail = next(methods["post"] for path, methods in paths.items() if path.endswith("/thumbnail"))
    assert "`type_not_registered`" in thumbnail["description"]


def test_every_call_takes_a_language_and_every_problem_says_which_it_has() -> None:
    for path, calls in document(ROUTES)["paths"].items():
        for method, call in calls.items():
            assert "Accept-Language" in {parameter["name"] for parameter in call["parameters"]}, (path, method)
            for status, answer in call["responses"].items():
                if "application/problem+json" in answer.get("content", {}):
                    assert {"Content-Language", "Vary"} <= answer["headers"].keys(), (path, method, status)

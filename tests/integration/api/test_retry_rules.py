"""What is tried again after which error is part of a type, and everybody can read it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.integration.api.conftest import Api


def rules(api: Api, name: str) -> dict[str, Any]:
    return {rule.pop("kind"): rule for rule in api.http.get(f"/api/v1/task-types/{name}").json()["retry"]["rules"]}


def test_a_type_shows_what_is_tried_again_after_which_kind_of_error(api: Api) -> None:
    shown = rules(api, "email.send")
    assert shown["connection"] == {
        "errors": ["ConnectionError", "gaierror", "Unavailable"],
        "codes": ["smtp_unreachable"],
        "retried": True,
        "first_delay_seconds": 5,
    }
    assert shown["rate_limit"] == {"errors": ["RateLimited"], "codes": [], "retried": True, "first_delay_seconds": 60}
    assert "smtp_auth_failed" in shown["authentication"]["codes"]
    assert {kind for kind, rule in shown.items() if not rule["retried"]} >= {"authentication", "validation"}
    listed = {item["name"]: item["retry"] for item in api.http.get("/api/v1/task-types").json()["items"]}
    assert {rule["kind"]: rule["codes"] for rule in listed["email.send"]["rules"]} == {
        kind: rule["codes"] for kind, rule in shown.items()
    }


def test_the_errors_that_a_type_gives_up_on_are_shown(start_api: Callable[..., Api]) -> None:
    api = start_api(modules=["tests.integration.api.voucher"])
    shown = api.http.get("/api/v1/task-types/tests.voucher").json()["retry"]
    assert (shown["retry_on"], shown["give_up_on"]) == (["Exception", "TimeLimitExceeded"], ["KeyError"])


def test_a_type_with_a_pace_of_its_own_shows_no_other_first_delay(api: Api) -> None:
    shown = rules(api, "notifications.send")
    assert {rule["first_delay_seconds"] for rule in shown.values()} == {None}
    assert not shown["authentication"]["retried"]

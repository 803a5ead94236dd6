"""The retry rules of our own types: each code is of one kind, and what its code says of retries is what happens."""

from __future__ import annotations

import ast
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from taskyard.catalogue.kits import load
from taskyard.domain.errors import AuthenticationFailed, RateLimited, TaskError
from taskyard.domain.retry import GiveUp
from taskyard.settings import Settings

KITS = Path(__file__).parents[2] / "kits/taskyard_kits"
TYPES = {task_type.name: task_type for task_type in load(Settings(diagnostics=True)).catalogue}


def calls() -> list[ast.Call]:
    found = (ast.walk(ast.parse(path.read_text("utf-8"))) for path in KITS.rglob("*.py"))
    return [node for nodes in found for node in nodes if isinstance(node, ast.Call)]


def final_codes() -> set[str]:
    """The codes that are raised with `retryable=False`."""
    return {
        part.value
        for call in calls()
        if any(word.arg == "retryable" and getattr(word.value, "value", True) is False for word in call.keywords)
        for part in call.args
        if isinstance(part, ast.Constant) and isinstance(part.value, str)
    }


@pytest.mark.parametrize("name", TYPES)
def test_every_code_that_is_raised_as_final_is_shown_as_final(name: str) -> None:
    task_type, raised = TYPES[name], final_codes()
    assert {"smtp_refused", "item_not_found"} <= raised
    for code in task_type.errors:
        rule = task_type.retry.rule_of(TaskError(code))
        assert (code not in raised) or (rule is not None and not rule.retried), code


@pytest.mark.parametrize("name", TYPES)
def test_every_code_of_a_rule_is_one_of_the_type_and_of_one_kind(name: str) -> None:
    task_type = TYPES[name]
    codes = [code for rule in task_type.retry.rules for code in rule.codes]
    assert sorted(codes) == sorted(set(codes))
    assert set(codes) <= set(task_type.errors)


@pytest.mark.parametrize(
    ("name", "error", "seconds"),
    [
        ("email.send", TaskError("smtp_unreachable"), 5),
        ("email.send", TaskError("smtp_temporary"), 60),
        ("email.send_welcome", TaskError("smtp_auth_failed"), None),
        ("email.send", RateLimited("smtp_temporary", after=90), 90),
        ("files.process_large_file", ConnectionRefusedError(), 5),
        ("files.generate_thumbnail", TaskError("image_damaged"), None),
        ("files.generate_thumbnail", TaskError("storage_unavailable"), 60),
        ("health.check", ConnectionRefusedError(), 60),
        ("notifications.send", TaskError("smtp_unreachable"), 2),
        ("notifications.send", RateLimited("webhook_refused"), 2),
        ("notifications.send", TaskError("webhook_endpoint_deleted"), None),
        ("webhooks.deliver", TaskError("webhook_unanswered"), 5),
        ("webhooks.deliver", TaskError("webhook_refused"), 5),
        ("webhooks.deliver", TaskError("webhook_gone"), None),
        ("files.cleanup_old", TaskError("age_too_short"), None),
        ("maintenance.cleanup_expired_data", TaskError("cache_unavailable"), 5),
        ("maintenance.archive_tasks", TaskError("archive_damaged"), None),
        ("maintenance.change_tasks", TaskError("operation_not_asked"), None),
        ("maintenance.change_tasks", TaskError("operation_goes_on"), 1),
        ("diagnostics.fail", TaskError("diagnostic_permanent"), None),
        ("models.refresh_cache", TaskError("provider_unanswered"), 5),
        ("models.refresh_cache", TaskError("provider_refused"), 60),
        ("models.refresh_cache", AuthenticationFailed("provider_key_refused"), None),
        ("payments.process", TaskError("stripe_unanswered"), 60),
        ("payments.process", TaskError("stripe_failed"), 60),
        ("payments.process", RateLimited("stripe_busy"), 60),
        ("payments.process", TaskError("payment_declined"), None),
        ("payments.process", ValueError(), None),
        ("analytics.aggregate", ConnectionRefusedError(), 5),
        ("reports.generate", TaskError("unknown_timezone"), None),
        ("reports.generate", TaskError("storage_unavailable"), 60),
        ("files.import_data", TaskError("import_invalid_rows"), None),
        ("files.import_data", TaskError("storage_unavailable"), 60),
        ("files.convert_document", TaskError("document_damaged"), None),
        ("files.convert_document", TaskError("item_not_found"), None),
        ("data.sync", TaskError("sync_unanswered"), 5),
        ("data.sync", TaskError("sync_unavailable"), 60),
        ("data.sync", RateLimited("sync_rate_limited", after=90), 90),
        ("data.sync", TaskError("sync_cursor_repeats"), None),
    ],
)
def test_our_types_try_again_as_their_rules_say(name: str, error: Any, seconds: int | None) -> None:
    decision = TYPES[name].retry.decide(error, failures=1, rand=lambda: 1.0)
    assert decision == (GiveUp("not_retryable") if seconds is None else timedelta(seconds=seconds))


@pytest.mark.parametrize("name", TYPES)
def test_no_type_of_ours_repeats_a_login_that_was_refused(name: str) -> None:
    assert not TYPES[name].retry.is_retryable(AuthenticationFailed("token_revoked"))

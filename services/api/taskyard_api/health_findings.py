"""What the last health check found, as `/health/detailed` shows it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from taskyard.domain.messages import Message, message
from taskyard.domain.tasks import State

from .translation import TypeName, Words

# Two periods of the schedule that the first start makes.
CHECK_HOLDS = timedelta(hours=2)


def doubts(age: timedelta, state: str, checks: Mapping[str, Mapping[str, Any]]) -> list[Message]:
    """Why a check does not show that all is well."""
    found = []
    if age > CHECK_HOLDS:
        found.append(message("older than {hours} hours", hours=int(CHECK_HOLDS / timedelta(hours=1))))
    if state != State.SUCCEEDED:
        found.append(message("the check itself failed"))
    if failed := sorted(name for name, check in checks.items() if check.get("status") != "ok"):
        found.append(message("failed then: {names}", names=", ".join(failed)))
    return found


def finding(check: dict[str, Any], of: TypeName, words: Words) -> dict[str, Any]:
    """What was found, with its reason in the reader's language where its code has words."""
    shown = {name: value for name, value in check.items() if name != "values"}
    if check.get("code") is not None:
        told = words.failure({"code": check["code"], "values": check.get("values"), "message": check["reason"]}, of)
        shown["reason"] = told["message"]
    return shown

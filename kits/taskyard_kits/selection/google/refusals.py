"""What an answer of the APIs that is no success means for the task.

https://cloud.google.com/apis/design/errors; Drive's reasons: https://developers.google.com/drive/api/guides/handle-errors
"""

from __future__ import annotations

from typing import Any

from taskyard import AuthenticationFailed, InputUnusable, RateLimited, TaskError
from taskyard.outbound.client import Answer
from taskyard_kits.webhooks.delivery import retry_after

from .transport import read_json, unavailable

_MOST_CHARACTERS = 300  # of Google's own words
_TOO_MANY = {"rateLimitExceeded", "userRateLimitExceeded", "RATE_LIMIT_EXCEEDED"}
_DISABLED = {"SERVICE_DISABLED", "accessNotConfigured"}


def refusal(answer: Answer, *, email: str, writes: bool) -> TaskError:
    """The error of the task; `writes`: whether the call would have changed the spreadsheet, which could be read."""
    error = (read_json(answer) or {}).get("error")
    error = error if isinstance(error, dict) else {}
    reasons = _reasons(error)
    after = retry_after(answer.headers.get("retry-after"))
    if answer.status == 429 or reasons & _TOO_MANY or (after is not None and answer.status >= 500):
        return RateLimited("gsheet_rate_limited", after=after)
    if answer.status in {408, 409} or answer.status >= 500:
        return unavailable(f"HTTP {answer.status}")
    match answer.status, str(error.get("status", "")):
        case 401, _:
            return AuthenticationFailed("gsheet_login_refused", email=email)
        case 403, _ if reasons & _DISABLED:
            return AuthenticationFailed("gsheet_api_disabled", email=email)
        case 403, _:
            return AuthenticationFailed("gsheet_read_only" if writes else "gsheet_not_shared", email=email)
        case 404, _:
            return InputUnusable("gsheet_not_found", email=email)
        case 400, "FAILED_PRECONDITION":
            return InputUnusable("gsheet_not_native")
        case _:
            return InputUnusable("gsheet_request_refused", answer=_words(error) or f"HTTP {answer.status}")


def _reasons(error: dict[str, Any]) -> set[str]:
    found = [*_list(error.get("errors")), *_list(error.get("details"))]
    return {str(entry.get("reason")) for entry in found if isinstance(entry, dict)}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _words(error: dict[str, Any]) -> str:
    return " ".join(str(error.get("message", ""))[:_MOST_CHARACTERS].split())

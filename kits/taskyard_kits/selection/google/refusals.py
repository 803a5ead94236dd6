"""What an answer of the APIs that is no success means for the task.

https://cloud.google.com/apis/design/errors; Drive's reasons: https://developers.google.com/drive/api/guides/handle-errors
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from taskyard import AuthenticationFailed, InputUnusable, RateLimited, TaskError
from taskyard.outbound.client import Answer
from taskyard.outbound.retry_after import retry_after

from .transport import read_json, unavailable

_MOST_CHARACTERS = 300  # of Google's own words
_TOO_MANY = {"rateLimitExceeded", "userRateLimitExceeded", "RATE_LIMIT_EXCEEDED"}
_DISABLED = {"SERVICE_DISABLED", "accessNotConfigured"}


@dataclass(frozen=True, slots=True)
class Asked:
    """What a call was about. `title` is empty where it is not known yet; then nothing is written."""

    spreadsheet_id: str
    title: str
    email: str

    def refusal(self, answer: Answer) -> TaskError:
        """The error of the task."""
        error = (read_json(answer) or {}).get("error")
        error = error if isinstance(error, dict) else {}
        reasons = _reasons(error)
        after = retry_after(answer.headers.get("retry-after"))
        if answer.status == 429 or reasons & _TOO_MANY or (after is not None and answer.status >= 500):
            return RateLimited("gsheet_rate_limited", after=after)
        if answer.status in {408, 409} or answer.status >= 500:
            return unavailable(f"HTTP {answer.status}")
        if answer.status == 401:
            return AuthenticationFailed("gsheet_login_refused", email=self.email)
        if answer.status == 403:
            return AuthenticationFailed("gsheet_api_disabled") if reasons & _DISABLED else self.not_allowed()
        if answer.status == 404:
            return InputUnusable("spreadsheet_not_found", spreadsheet_name=self.spreadsheet_id)
        return InputUnusable("gsheet_request_refused", answer=_words(error) or f"HTTP {answer.status}")

    def not_allowed(self) -> TaskError:
        """It can be read where its title is known."""
        if self.title:
            return AuthenticationFailed("spreadsheet_read_only", title=self.title, service_account_email=self.email)
        name = self.spreadsheet_id
        return AuthenticationFailed("spreadsheet_not_shared", spreadsheet_name=name, service_account_email=self.email)


def _reasons(error: dict[str, Any]) -> set[str]:
    found = [*_list(error.get("errors")), *_list(error.get("details"))]
    return {str(entry.get("reason")) for entry in found if isinstance(entry, dict)}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _words(error: dict[str, Any]) -> str:
    return " ".join(str(error.get("message", ""))[:_MOST_CHARACTERS].split())

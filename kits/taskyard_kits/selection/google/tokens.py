"""Access tokens: asked for with a signed assertion, and kept until shortly before they expire."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from urllib.parse import urlencode

from taskyard import AuthenticationFailed, RateLimited, TaskError
from taskyard.outbound.client import Answer
from taskyard.outbound.retry_after import retry_after

from .account import Account, read_account
from .settings import GoogleSettings
from .transport import Transport, read_json, unavailable

# Least of what the calls need: spreadsheets that are shared, and of Drive whether they may be changed.
SCOPES = (
    "https://www.googleapis.com/auth/spreadsheets",
    "https://www.googleapis.com/auth/drive.metadata.readonly",
)
_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_MOST_BYTES = 64 * 1024
# A token is not used for its last minutes: a call may take as long.
_SPARE_SECONDS = 300.0


class Tokens:
    """The tokens of one account. Threads that need one at the same time ask once."""

    def __init__(self, account: Account, url: str, clock: Callable[[], float] = time.time) -> None:
        self.account = account
        self._url = url
        self._clock = clock
        self._lock = threading.Lock()
        self._token = ""
        self._until = 0.0

    def token(self, transport: Transport) -> str:
        """Raises AuthenticationFailed `gsheet_login_refused`, and TaskError where Google does not answer."""
        with self._lock:
            if self._clock() >= self._until:
                self._token, seconds = self._asked(transport)
                self._until = self._clock() + seconds - _SPARE_SECONDS
            return self._token

    def drop(self, token: str) -> None:
        """Google does not take this one any more."""
        with self._lock:
            if token == self._token:
                self._until = 0.0

    def _asked(self, transport: Transport) -> tuple[str, float]:
        assertion = self.account.assertion(self._url, SCOPES, self._clock())
        form = urlencode({"grant_type": _GRANT, "assertion": assertion}).encode()
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        answer = transport.send("POST", self._url, headers, form, _MOST_BYTES)
        found = read_json(answer) or {}
        token, seconds = found.get("access_token"), found.get("expires_in")
        if answer.status == 200 and isinstance(token, str) and isinstance(seconds, int):
            return token, float(seconds)
        raise self._refusal(answer)

    def _refusal(self, answer: Answer) -> TaskError:
        after = retry_after(answer.headers.get("retry-after"))
        if answer.status == 429 or (after is not None and answer.status >= 500):
            return RateLimited("gsheet_rate_limited", after=after)
        if answer.status in {400, 401, 403}:
            return AuthenticationFailed("gsheet_login_refused", email=self.account.email)
        return unavailable(f"HTTP {answer.status}")


def tokens_of(settings: GoogleSettings) -> Tokens:
    """Those of the key file as it is now: a new key counts from the next task on. Raises as `read_account`."""
    path = settings.selection_google_key_file
    if path is None:
        raise TaskError("gsheet_not_configured", retryable=False)
    try:
        stat = path.stat()
    except OSError:
        raise TaskError("gsheet_key_unusable", retryable=False) from None
    return _kept(path, stat.st_mtime_ns, stat.st_ino, settings.selection_google_token_url)


@lru_cache(maxsize=4)
def _kept(path: Path, changed: int, inode: int, url: str) -> Tokens:
    return Tokens(read_account(path), url)

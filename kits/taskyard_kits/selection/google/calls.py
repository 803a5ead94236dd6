"""A call of Google's APIs: with the account's token, and its answer read within bounds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import orjson

from taskyard import InputUnusable, TaskContext
from taskyard.outbound.client import Answer

from .refusals import Asked
from .settings import GoogleSettings
from .tokens import Tokens, tokens_of
from .transport import Transport, read_json, unavailable

MIB = 1024 * 1024


class Calls:
    """Those of one task. Raises TaskError where no account is set up: see `tokens_of`."""

    def __init__(self, context: TaskContext) -> None:
        self.settings: GoogleSettings = context.settings
        self._transport = Transport(context)
        self._tokens: Tokens = tokens_of(self.settings)

    @property
    def email(self) -> str:
        """Whom spreadsheets have to be shared with."""
        return self._tokens.account.email

    def send(
        self, method: str, url: str, query: Mapping[str, str], asked: Asked, *, body: Any = None, most_bytes: int = MIB
    ) -> dict[str, Any]:
        """The object that is answered. Raises TaskError, TaskCancelled, TimeLimitExceeded."""
        url = f"{url}?{urlencode({'prettyPrint': 'false', **query})}"
        content = b"" if body is None else orjson.dumps(body)
        answer = self._sent(method, url, content, most_bytes)
        if answer.status == 401:  # revoked, or the clocks differ: once more, with a new token
            answer = self._sent(method, url, content, most_bytes)
        if answer.status != 200:
            raise asked.refusal(answer)
        if answer.is_cut:
            raise InputUnusable("gsheet_too_large", limit=most_bytes // MIB)
        found = read_json(answer)
        if found is None:  # a proxy's page, perhaps
            raise unavailable({"phrase": "gsheet_broken"})
        return found

    def _sent(self, method: str, url: str, content: bytes, most_bytes: int) -> Answer:
        token = self._tokens.token(self._transport)
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        answer = self._transport.send(method, url, headers, content, most_bytes)
        if answer.status == 401:
            self._tokens.drop(token)
        return answer

"""Answers next to what openapi.json says of them."""

from __future__ import annotations

from typing import Any

import httpx
import schemathesis
from schemathesis import GenerationMode
from schemathesis.core.failures import Failure, FailureGroup

from taskyard_api.app import ROUTES

from .stand import Stand

# Endless: an answer never ends.
_ENDLESS = {"/api/v1/events"}
# A filter that fits would cancel the ordinary tasks, as it should.
_TRIED_ONLY = {"/api/v1/tasks/cancel", "/api/v1/operations"}
# A schema cannot express which names and ids exist, which years a time may have, that a raw upload needs X-Filename
# where a form does not, and which states may be moved.
_MAY_REFUSE_WHAT_FITS = ["2xx", "304", "404", "409", "412", "416", "422"]


class Described:
    """The API's document as the API serves it."""

    def __init__(self, stand: Stand) -> None:
        self._stand = stand
        served = httpx.get(f"{stand.url}/openapi.json", trust_env=False).json()
        self._schema = schemathesis.openapi.from_dict(served)
        self._schema.config.update(base_url=stand.url)
        # What it made wrong may be left out when it is sent; `test_openapi.py` has this check, with one seed.
        self._schema.config.checks.negative_data_rejection.enabled = False
        self._schema.config.checks.positive_data_acceptance.expected_statuses = _MAY_REFUSE_WHAT_FITS
        self.client = httpx.Client(
            base_url=stand.url, headers={"Authorization": f"Bearer {stand.key}"}, timeout=60, trust_env=False
        )
        found = [one.ok() for path in sorted(set(ROUTES) - _ENDLESS) for one in self._operations_of(path)]
        self.operations: list[Any] = found
        self._by_name = {(one.method.upper(), one.path): one for one in found}

    def _operations_of(self, path: str) -> list[Any]:
        return list(self._schema.include(path=path).get_all_operations())

    def ask(self, what: str, method: str, route: str, address: str = "", **given: Any) -> httpx.Response | None:
        """Sends, and looks at the answer. `route` is a path of the document, `address` its path filled in.

        None: there was no answer, which is noted."""
        notes = self._stand.notes
        notes.sent += 1
        sent = f"{method} {address or route} {given}"
        try:
            answer = self.client.request(method, address or route, **given)
        except httpx.HTTPError as e:
            notes.wrong(what, f"no answer: {e!r}", sent)
            return None
        notes.look(what, f"{answer.headers}{answer.text}", sent)
        if answer.status_code >= 500:
            notes.wrong(what, f"{answer.status_code} {answer.text}", sent)
        # The document calls a stream a text; Schemathesis would compare each of its events with that.
        if "event-stream" in answer.headers.get("Content-Type", ""):
            return answer
        try:
            self._by_name[method, route].validate_response(answer)
        except (Failure, FailureGroup) as e:
            notes.wrong(what, told(e), sent)
        return answer

    def attack(self, case: Any) -> None:
        """Sends what Schemathesis made up, and looks at the answer as it does."""
        notes = self._stand.notes
        notes.sent += 1
        what = f"schemathesis, {case.method} {case.path}"
        headers = {"Authorization": f"Bearer {self._stand.key}"}
        tried_only(case)
        try:
            answer = case.call(headers=headers, timeout=60)
            notes.look(what, answer.content.decode(errors="replace"), case.as_curl_command())
            case.validate_response(answer, headers=headers)
        except (Failure, FailureGroup) as e:
            notes.wrong(what, told(e), case.as_curl_command())
        except Exception as e:  # noqa: BLE001 - whatever it is, the API did not answer
            notes.wrong(what, f"no answer: {e!r}", case.as_curl_command())

    def attack_as(self, key: str, case: Any, private: str) -> None:
        """With a key that may not read: nothing that is stored is told to it."""
        notes = self._stand.notes
        notes.sent += 1
        what = f"a key without `read`, {case.method} {case.path}"
        tried_only(case)
        try:
            answer = case.call(headers={"Authorization": f"Bearer {key}"}, timeout=60)
        except Exception as e:  # noqa: BLE001 - whatever it is, the API did not answer
            notes.wrong(what, f"no answer: {e!r}", case.as_curl_command())
            return
        if answer.status_code >= 500 or private.encode() in answer.content:
            notes.wrong(what, f"{answer.status_code} {answer.text}", case.as_curl_command())


def tried_only(case: Any) -> None:
    if case.path in _TRIED_ONLY and isinstance(case.body, dict):
        case.body["dry_run"] = True


def told(failure: Failure | FailureGroup) -> str:
    found = failure.exceptions if isinstance(failure, FailureGroup) else [failure]
    return "; ".join(f"{type(one).__name__}: {one}" for one in found)


MODES = list(GenerationMode)

"""The console, where one runs: whether it answers, takes the key, and shows a page of what the API tells it."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

import httpx2

from .findings import Finding, Verdict, timed

_SECONDS = 10.0
_CSRF = re.compile(r'name="csrf" value="([^"]+)"')
_STEP, _SIGN_IN = "console", "console sign-in"
_START = "Does it run, and does TASKYARD_CONSOLE_URL or TASKYARD_CONSOLE_PORT lead to it? `taskyard-console check`."
_REACH = "Look at the console's log; its TASKYARD_URL has to lead to the API of this command: `taskyard-console check`."


def check(url: str, key: str | None, *, slow_after: float) -> Iterator[Finding]:
    with httpx2.Client(base_url=url, timeout=httpx2.Timeout(_SECONDS, connect=5.0)) as http:
        try:
            yield (answers := _answers(http, slow_after))
            if answers.verdict is not Verdict.FAIL:
                yield _signs_in(http, key, slow_after)
        except (httpx2.TransportError, httpx2.DecodingError) as e:
            says = f"the console at {url} does not answer: {str(e) or type(e).__name__}"
            yield Finding(_STEP, Verdict.FAIL, says, do=_START)


def _answers(http: httpx2.Client, slow_after: float) -> Finding:
    started = time.perf_counter()
    answer = http.get("/health/ready")
    seconds = time.perf_counter() - started
    if answer.status_code != httpx2.codes.OK:
        says = f"{http.base_url} answered {answer.status_code} to GET /health/ready"
        return Finding(_STEP, Verdict.FAIL, says, seconds, do=_START)
    return timed(_STEP, f"{http.base_url} answers", seconds, slow_after=slow_after)


def _signs_in(http: httpx2.Client, key: str | None, slow_after: float) -> Finding:
    form = http.get("/sign-in").text
    token = _CSRF.search(form)
    if token is None or 'name="key"' not in form:
        return Finding(_SIGN_IN, Verdict.SKIP, "keys do not sign in there")
    if key is None:
        return Finding(_SIGN_IN, Verdict.SKIP, "no key is given")
    started = time.perf_counter()
    signed = http.post("/sign-in", data={"csrf": token[1], "key": key})
    if signed.status_code == httpx2.codes.TOO_MANY_REQUESTS:
        return Finding(_SIGN_IN, Verdict.SKIP, "too many tries from this address")
    page = http.get("/tasks") if signed.status_code == httpx2.codes.SEE_OTHER else signed
    seconds = time.perf_counter() - started
    if page.status_code == httpx2.codes.FORBIDDEN:
        return timed(_SIGN_IN, "the key signs in, and may not see tasks", seconds, slow_after=slow_after)
    if page.status_code != httpx2.codes.OK:
        says = f"the console answered {page.status_code} to {page.request.method} {page.request.url.path}"
        return Finding(_SIGN_IN, Verdict.FAIL, says, seconds, do=_REACH)
    return timed(_SIGN_IN, "the key signs in, and the list of tasks is shown", seconds, slow_after=slow_after)

"""A task type whose every word is an attack on the people who read it."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any, Literal

from pydantic import Field

from taskyard import Params, Result, TaskContext, TaskError, task
from taskyard.domain.retry import RetryPolicy

SIGN = "window.pwned=1"
# Ends whatever it may stand in, and begins what runs; then templates, a header, and marks that turn text around.
HOSTILE = (
    f"</textarea></title></script></style>'\"--><script>{SIGN};alert(1)</script>"
    f"<img src=//evil.example/i onerror={SIGN}><svg/onload={SIGN}></svg>"
    f"<iframe srcdoc='<script>top.{SIGN}</script>'></iframe><a href=javascript:{SIGN}>"
    "{{7*7}}${7*7}{% raise %}\r\nSet-Cookie: pwned=1\r\n\r\n\u202e"
)
SHORT = f"'\"><img src=x onerror={SIGN}>{{{{7*7}}}}"  # 43 characters: a tag has 64
LINK = f"javascript:{SIGN}"
FORMULA = "=cmd|' /C calc'!A0"
TAGS = [SHORT, LINK, FORMULA, "\u202egpj.exe"]
WORD = "W" * 100_000


class HostileParams(Params):
    """What is said of the parameters."""

    do: Literal["succeed", "fail", "wait"] = "succeed"
    text: str = Field(default=SHORT, title=SHORT, description=HOSTILE, max_length=200_000)
    choice: str = Field(default=SHORT, json_schema_extra={"enum": [SHORT, LINK]})
    value: Any = Field(default=None, title=HOSTILE)
    named: str = Field(default=LINK, alias=SHORT)  # type: ignore[pydantic-alias]


class HostileResult(Result):
    value: Any


def _stumble() -> None:
    raise type(SHORT, (TaskError,), {})(SHORT, HOSTILE)


# As the traceback and the group of the error show them.
_stumble.__code__ = _stumble.__code__.replace(co_name=SHORT, co_qualname=SHORT, co_filename=SHORT)


@task(
    "tests.hostile",
    description=HOSTILE,
    retry=RetryPolicy(retries=1, first_delay=timedelta(milliseconds=1)),
    errors={"unsaid": {"en": HOSTILE.replace("{", "(").replace("}", ")")}},
)
def hostile(params: HostileParams, context: TaskContext) -> HostileResult:
    context.progress(1, 2, message=HOSTILE)
    context.log(HOSTILE, level=SHORT)
    context.log(WORD)
    if params.do == "fail":
        context.submit(hostile, {}, tags=TAGS)
        _stumble()
    while params.do == "wait":
        time.sleep(0.05)
    return HostileResult(value={HOSTILE: [HOSTILE, LINK, {SHORT: None}], "long": WORD})

"""Bodies of JSON, and of what is none."""

from __future__ import annotations

import json

from . import Body, one_of
from .tasks import submit

_PLACE = "what is wrong with a number is said, with its place"
_STORED = "what PostgreSQL cannot hold is refused before it is queued"
_ECHO = "diagnostics.echo"
_MISSING = "0193aaaa-0000-7000-8000-000000000000"
_DONE = one_of("succeeded")


def _echo(raw: bytes) -> bytes:
    return b'{"name": "diagnostics.echo", "params": {"value": ' + raw + b"}}"


def _batch(*bodies: bytes) -> bytes:
    return b'{"tasks": [' + b", ".join(bodies) + b"]}"


BODIES = (
    Body("1e400", _PLACE, _echo(b"1e400"), 400),
    Body("5,000 digits", _PLACE, _echo(b"9" * 5_000), 400),
    Body("2**64", _PLACE, _echo(b"18446744073709551616"), 422),
    Body("NaN", _PLACE, _echo(b"NaN"), 400),
    Body("a zero byte", _STORED, _echo(rb'"\u0000"'), 422),
    Body("half of a surrogate pair", _STORED, _echo(rb'"\ud800"'), 400),
    Body("bytes that are no UTF-8", _STORED, _echo(b'"\xff"'), 400),
    Body("900 lists", "depth is bounded", _echo(b"[" * 900 + b"]" * 900), 422),
    Body("a mark of secrets", "what looks like a stored secret is refused", _echo(b'{"$secret": "x"}'), 422),
    Body("a name twice", "a body is JSON", _echo(b'{"a": 1, "a": 2}'), 400),
    Body("nothing", "a body is JSON", b"", 400),
    Body("an emoji", "text is kept", _echo('"\N{GRINNING FACE}"'.encode()), 202, _DONE),
    Body("a batch with a wrong one", "a batch is taken whole or not at all", _batch(_echo(b"1"), _echo(rb'"\u0000"')),
         422, path="/api/v1/tasks/batch"),
    Body("a batch", "a batch is taken whole or not at all", _batch(*[_echo(b"1")] * 20), 202,
         path="/api/v1/tasks/batch"),
    Body("an unknown queue", "who submits is told which queue is not there", submit(_ECHO, {"value": 1}, queue="nope"),
         422),
    Body("a time in the past", "a time says what is wrong with it",
         submit(_ECHO, {"value": 1}, run_at="0001-01-01T00:00:00Z"), 422),
    Body("a name that needs an escape", "a type has a name that needs no escape", submit("a/b%2F c", {}), 422),
    Body("a pattern of many classes", "patterns cost a bounded time",
         submit("files.process_large_file", {"item_id": _MISSING, "pattern": r"\pL" * 98}),
         422),
    Body("a file that is not there", "a missing file is a final error",
         submit("files.process_large_file", {"item_id": _MISSING}), 202,
         one_of("item_not_found")),
)  # fmt: skip

# What has every field, to be changed in one place or several.
FULL = (
    ("/api/v1/tasks", submit(
        _ECHO, {"value": {"a": [1, "x", None]}}, queue="default", delay_seconds=0.5, expires_at="2027-11-01T00:00:00Z",
        soft_timeout_seconds=5, hard_timeout_seconds=6, tags=["a", "b"], unique={"key": "k", "while": "active"},
        on_cancel="leave_children",
    )),
    ("/api/v1/tasks/batch", _batch(_echo(b"[1, 2]"), submit(_ECHO, {"value": "x"}, tags=["a"]))),
    ("/api/v1/tasks", submit("tests.fuzz.speak", {}, run_at="2026-12-01T00:00:00Z")),
    ("/api/v1/tasks", submit("health.check", {}, tags=["a"])),
    ("/api/v1/dead-letters/retry", json.dumps(
        {"filter": {"name": "tests.fuzz.raise", "code": "task_exception", "created_after": "2026-01-01T00:00:00Z"},
         "dry_run": True}
    ).encode()),
    ("/api/v1/dead-letters/discard", json.dumps({"ids": [_MISSING]}).encode()),
)  # fmt: skip

"""A fan-out of 1,000 steps with its join, and a chain of 100, as both systems have them: from the call to the end."""

from __future__ import annotations

import json
import time
import urllib.request
from typing import Any

import redis

from benchmarks.checkout import Stack
from benchmarks.load import KEY
from taskyard_client import chain, chord, step, workflow_fields
from tests.support.fleet import wait_for

FAN, LINKS = 1_000, 100
_ECHO = "diagnostics.echo"
_VALUE = {"value": 1}
_PATIENCE = 120


def fan_fields() -> dict[str, Any]:
    return workflow_fields(chord([step(_ECHO, _VALUE) for _ in range(FAN)], step(_ECHO, _VALUE)))


def chain_fields() -> dict[str, Any]:
    return workflow_fields(chain(*[step(_ECHO, _VALUE) for _ in range(LINKS)]))


def ours(stack: Stack, fields: dict[str, Any]) -> float:
    """Seconds until the last step is recorded. The services run on one machine, so their clocks are one."""
    body = json.dumps(fields).encode()
    request = urllib.request.Request(
        f"http://127.0.0.1:{stack.env['TASKYARD_API_PORT']}/api/v1/workflows",
        data=body,
        headers={"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"},
    )
    began = time.time()
    with urllib.request.urlopen(request, timeout=60) as answer:
        flow_id = json.load(answer)["id"]
    finished = "SELECT coalesce(extract(epoch FROM finished_at), 0) FROM workflow WHERE id = %s"
    return float(wait_for(lambda: stack.query(finished, flow_id), _PATIENCE, "the workflow", every=0.05)) - began


def bare_fan(client: redis.Redis) -> float:
    """Until the callback of the group begins."""
    import dramatiq

    from benchmarks.bare import ENDS, echo, end

    client.delete(ENDS)
    began = time.time()
    made: Any = dramatiq.group([echo.message(1) for _ in range(FAN)])  # type: ignore[no-untyped-call]
    made.add_completion_callback(end.message())
    made.run()
    return _ended(client, ENDS) - began


def bare_chain(client: redis.Redis) -> float:
    """Until the last of the pipeline begins."""
    import dramatiq

    from benchmarks.bare import ENDS, end, link

    client.delete(ENDS)
    began = time.time()
    first: Any = link.message(1)
    others: list[Any] = [link.message_with_options() for _ in range(LINKS - 2)]
    steps: Any = dramatiq.pipeline([first, *others, end.message()])
    steps.run()
    return _ended(client, ENDS) - began


def _ended(client: redis.Redis, key: str) -> float:
    wait_for(lambda: client.llen(key), _PATIENCE, "the bare end", every=0.01)
    found: Any = client.lindex(key, 0)
    return float(found)

"""Specs of task types, with the usual values where a test does not care."""

from __future__ import annotations

from typing import Any

from taskyard.catalogue.spec import TaskSpec

_OBJECT = {"type": "object", "properties": {}, "additionalProperties": False}


def spec_values(name: str = "tests.task", **changes: Any) -> dict[str, Any]:
    return {
        "name": name,
        "queue": "default",
        "params": _OBJECT,
        "result": _OBJECT,
        "retry": {
            "max_attempts": 4,
            "first_delay_seconds": 60.0,
            "max_delay_seconds": 600.0,
            "factor": 2.0,
            "jitter": False,
        },
        "soft_timeout_seconds": 540.0,
        "hard_timeout_seconds": 600.0,
        **changes,
    }


def spec_named(name: str = "tests.task", **changes: Any) -> TaskSpec:
    return TaskSpec.parse(spec_values(name, **changes))

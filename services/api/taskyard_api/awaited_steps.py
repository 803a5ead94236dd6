"""Which steps of its workflow a blocked one waits for, in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from taskyard.domain.messages import Message, message
from taskyard.domain.tasks import State

from .translation import Words

_STATES = {
    State.BLOCKED: message("blocked"),
    State.SCHEDULED: message("scheduled"),
    State.QUEUED: message("queued"),
    State.RUNNING: message("running"),
    State.RETRYING: message("retrying"),
    State.FAILED: message("failed"),
    State.CANCELLED: message("cancelled"),
}


def awaited(steps: Sequence[Mapping[str, str]], words: Words) -> Message:
    """`steps`: each with its name as `step`, and its `state`."""
    if not steps:
        return message("It waits for other steps of its workflow.")
    told = ", ".join(f"{step['step']} ({words.say(_STATES[State(step['state'])])})" for step in steps)
    return message("It waits for steps of its workflow: {steps}.", steps=told)

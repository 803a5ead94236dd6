"""Where the time between a submit and the start of its task goes, by what Redis sees of it (MONITOR).

All clocks are those of one machine. The four stages follow one another:

- commit: from the beginning of the transaction that inserts the task to the command that publishes it. The submit's
  commit lies in it, and the hand-over to the publisher.
- wake-up: to the command that fetches it, in a child that waited.
- claim: to the command that acknowledges it. The claim's commit lies in it.
- start: to the first line of the task's function. The acknowledgement's answer, the hand-over to a thread, and what is
  read and checked before a task runs lie in it.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import redis

STAGES = ("commit", "wake-up", "claim", "start")
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_LEAVING = ("srem", "hdel")


@dataclass(frozen=True)
class Sample:
    """Seconds of one submit: to its start, and of its stages where Redis was seen to pass it on. `waited`: in which
    threads of the services and servers were ready to run and had no processor, added up."""

    took: float
    waited: float
    stages: Mapping[str, float] | None


@dataclass
class Watch:
    """When Redis first saw each step of each task, in seconds of the epoch."""

    published: dict[str, float] = field(default_factory=dict)
    fetched: dict[str, float] = field(default_factory=dict)
    acknowledged: dict[str, float] = field(default_factory=dict)

    def see(self, at: float, command: str, *, from_script: bool) -> None:
        if from_script:
            step = self.fetched
        elif command.lower().startswith(_LEAVING):
            step = self.acknowledged
        else:
            step = self.published
        for task_id in _UUID.findall(command):
            step.setdefault(task_id, at)

    def stages(self, task_id: str, submitted: float, started: float) -> dict[str, float] | None:
        """Seconds of each stage, the whole time in all; None where a step was not seen."""
        seen = [step.get(task_id) for step in (self.published, self.fetched, self.acknowledged)]
        # The acknowledgement may come after the start: the claim ends with the start then.
        times = [submitted, *(min(at, started) for at in seen if at is not None), started]
        if len(times) <= len(STAGES):
            return None
        return {name: after - before for name, (before, after) in zip(STAGES, pairwise(times), strict=True)}


@contextmanager
def watched(client: redis.Redis) -> Iterator[Watch]:
    watch = Watch()
    with client.monitor() as monitor:  # type: ignore[no-untyped-call]
        thread = threading.Thread(target=_listen, args=(monitor, watch))
        thread.start()
        try:
            yield watch
        finally:
            client.echo(_END)
            thread.join(10)


_END = "the end of the watch"


def _listen(monitor: Any, watch: Watch) -> None:
    for seen in monitor.listen():
        if _END in seen["command"]:
            return
        watch.see(seen["time"], seen["command"], from_script=seen["client_type"] == "lua")


def slowest(samples: Sequence[Sample], share: float = 0.01) -> list[Sample]:
    """The share of the samples that took longest, one at least."""
    ordered = sorted(samples, key=lambda sample: sample.took)
    return ordered[-max(1, int(len(ordered) * share)) :]

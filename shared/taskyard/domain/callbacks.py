"""What is told of a task to its receiver, and the task that tells it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

# The type of the delivery, in the kit `webhooks`; a test of the kit holds it to these figures. It is the platform's
# own: a caller who could submit it would have anything signed.
DELIVER = "webhooks.deliver"
QUEUE = "default"
MAX_ATTEMPTS = 11
SOFT_LIMIT = timedelta(seconds=30)
HARD_LIMIT = timedelta(seconds=60)
# A receiver that is away for a weekend still gets it.
LIFE = timedelta(days=3)
# Between two deliveries of the progress of one task.
PROGRESS_EVERY = timedelta(seconds=5)

FINAL, PROGRESS = "final", "progress"


@dataclass(frozen=True, slots=True, kw_only=True)
class Callback:
    """Of what a task tells (`on`: `final`, `progress`), where to, and whose secret signs it. `told`: whether the key
    that submitted the task may read what is stored in it; only then are result, error and progress told. `support_url`:
    where people find help, told with an error; part of the callback so that each attempt sends the same bytes."""

    url: str
    endpoint_id: UUID
    on: tuple[str, ...]
    told: bool
    support_url: str | None = None

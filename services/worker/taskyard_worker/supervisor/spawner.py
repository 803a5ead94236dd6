"""The spawner: starts children with all that they have to know."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from uuid import uuid4

from .. import quarantine
from ..control import Plan
from .handle import Handle
from .registration import Registration


class Spawner:
    """`environment` makes a child's environment for its index, `overrides` are settings from the command line."""

    def __init__(
        self,
        registration: Registration,
        *,
        threads: int,
        overrides: dict[str, Any],
        environment: Callable[[int], Mapping[str, str]],
    ) -> None:
        self._registration = registration
        self._threads = threads
        self._overrides = overrides
        self._environment = environment

    def spawn(self, index: int, *, quarantined: bool) -> Handle:
        """Only from the main thread. Raises OSError."""
        plan = Plan(
            worker_id=str(self._registration.worker_id),
            worker=self._registration.name,
            index=index,
            queues=self._registration.queues,
            threads=quarantine.THREADS if quarantined else self._threads,
            overrides=self._overrides,
            fetcher_id=str(uuid4()),
            quarantine=quarantined,
        )
        return Handle.spawn(plan, environment=self._environment(index))

"""The names of the keys in Redis, all under one namespace.

Dramatiq's own are `{namespace}:{queue}` (a list of message ids), `{namespace}:{queue}.msgs` (id -> message)
and `{namespace}:__acks__.{broker}.{queue}` (fetched, not acknowledged).
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

ACTOR = "taskyard_run"
LANES = "lanes"


@dataclass(frozen=True, slots=True)
class Names:
    namespace: str = "taskyard"

    def queue(self, queue: str) -> str:
        return f"{self.namespace}:{queue}"

    def messages(self, queue: str) -> str:
        return f"{self.namespace}:{queue}.msgs"

    def acks(self, broker_id: str, queue: str) -> str:
        return f"{self.namespace}:__acks__.{broker_id}.{queue}"

    def wake(self, queue: str) -> str:
        return f"{self.namespace}:wake:{queue}"

    def wake_child(self, child: UUID | str) -> str:
        return f"{self.namespace}:wake-child:{child}"

    @property
    def wake_scheduler(self) -> str:
        return f"{self.namespace}:wake-scheduler"

    @property
    def epoch(self) -> str:
        """The leader sets it and never deletes it: where it is missing, Redis has lost everything. Its value is the run
        id of the server that was last compared with the ledger."""
        return f"{self.namespace}:epoch"

    @property
    def lost(self) -> str:
        """How many queued tasks the leader found to be missing here, for `/health/detailed`; it is there only while
        there are any."""
        return f"{self.namespace}:lost"

    @property
    def events(self) -> str:
        """The channel of live events."""
        return f"{self.namespace}:events"

    @property
    def types(self) -> str:
        """The channel that says that workers have registered task types: API and scheduler read the ledger then."""
        return f"{self.namespace}:types"

    @property
    def control(self) -> str:
        """The channel of hints to workers: `cancel`, `resume`, `recall`, `workers` (`Publisher.publish`)."""
        return f"{self.namespace}:control"

    def models(self, provider: str) -> str:
        """The models of a provider: domain/model_lists.py."""
        return f"{self.namespace}:models:{provider}"

"""What both clients have beside the calls of tasks: one object for each subject."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import management_calls as calls
from .access import AsyncAudit, AsyncWebhookEndpoints, Audit, WebhookEndpoints
from .crashes import AsyncCrashes, Crashes
from .dead_letters import AsyncDeadLetters, DeadLetters
from .files import AsyncFiles, Files
from .fleet import AsyncTaskTypes, AsyncWorkers, TaskTypes, Workers
from .keys import AsyncKeys, Keys
from .kits import (
    AsyncRecords,
    AsyncSelectionRuns,
    AsyncUsage,
    AsyncUsers,
    Records,
    SelectionRuns,
    Usage,
    Users,
)
from .management_models import Broker, Health, OwnKey
from .operations import AsyncOperations, Operations
from .over_time import AsyncErrors, Errors
from .queues import AsyncQueues, Queues
from .schedules import AsyncSchedules, Schedules
from .workflows import AsyncWorkflows, Workflows

if TYPE_CHECKING:
    from .async_connection import AsyncConnection
    from .connection import Connection


class Namespaces:
    def __init__(self, api: Connection) -> None:
        self._api = api
        self.audit = Audit(api)
        self.crashes = Crashes(api)
        self.dead_letters = DeadLetters(api)
        self.errors = Errors(api)
        self.files = Files(api)
        self.keys = Keys(api)
        self.operations = Operations(api)
        self.queues = Queues(api)
        self.records = Records(api)
        self.schedules = Schedules(api)
        self.selection_runs = SelectionRuns(api)
        self.task_types = TaskTypes(api)
        self.usage = Usage(api)
        self.users = Users(api)
        self.webhook_endpoints = WebhookEndpoints(api)
        self.workers = Workers(api)
        self.workflows = Workflows(api)

    def own_key(self) -> OwnKey:
        """What the client's key is called, and what it allows."""
        return self._api.send(calls.own_key())

    def broker(self) -> Broker:
        """What Redis holds, and how full it is."""
        return self._api.send(calls.broker())

    def health(self) -> Health:
        """Every part of the platform, and what is wrong with it."""
        return self._api.send(calls.health())


class AsyncNamespaces:
    def __init__(self, api: AsyncConnection) -> None:
        self._api = api
        self.audit = AsyncAudit(api)
        self.crashes = AsyncCrashes(api)
        self.dead_letters = AsyncDeadLetters(api)
        self.errors = AsyncErrors(api)
        self.files = AsyncFiles(api)
        self.keys = AsyncKeys(api)
        self.operations = AsyncOperations(api)
        self.queues = AsyncQueues(api)
        self.records = AsyncRecords(api)
        self.schedules = AsyncSchedules(api)
        self.selection_runs = AsyncSelectionRuns(api)
        self.task_types = AsyncTaskTypes(api)
        self.usage = AsyncUsage(api)
        self.users = AsyncUsers(api)
        self.webhook_endpoints = AsyncWebhookEndpoints(api)
        self.workers = AsyncWorkers(api)
        self.workflows = AsyncWorkflows(api)

    async def own_key(self) -> OwnKey:
        """What the client's key is called, and what it allows."""
        return await self._api.send(calls.own_key())

    async def broker(self) -> Broker:
        """What Redis holds, and how full it is."""
        return await self._api.send(calls.broker())

    async def health(self) -> Health:
        """Every part of the platform, and what is wrong with it."""
        return await self._api.send(calls.health())

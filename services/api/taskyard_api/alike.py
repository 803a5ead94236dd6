"""Tasks that say no more than a name and parameters, as most: what all such tasks of a type and a caller have in common
is admitted once, until a worker registers something or the key is looked up again.

Like the short way (docs/decisions/0053), this answers no refusal: what it does not take goes through
`Admission.admit`, and nothing was done by then.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any
from uuid import UUID

from pydantic import ValidationError

from taskyard.admission.bodies import MAX_TASKS, SubmitTask
from taskyard.admission.parameters import accepted
from taskyard.catalogue.compiled import CompiledSpec
from taskyard.catalogue.effort import NotNow, patterns_are_spent, spend
from taskyard.catalogue.registry import TypeRegistry
from taskyard.catalogue.secrets import Cipher
from taskyard.catalogue.sizes import Size
from taskyard.domain.errors import Refused
from taskyard.domain.ids import new_id
from taskyard.lifecycle.submit import NewTask

from .admission import Admission, effort_on_the_loop
from .auth import Caller
from .bodies import Body
from .known_types import KnownTypes
from .requests import RequestContext

_NAMES = {"name", "params"}
_MAX_KNOWN = 1024


@dataclass(frozen=True, slots=True)
class _First:
    """A task that was admitted, whom it is from, and its type."""

    task: NewTask
    caller: Caller
    spec: CompiledSpec


class Alike:
    def __init__(
        self, admission: Admission, types: KnownTypes, cipher: Cipher, *, make_id: Callable[[], UUID] = new_id
    ) -> None:
        self._admission = admission
        self._types = types
        self._cipher = cipher
        self._make_id = make_id
        self._registry: TypeRegistry | None = None
        self._known: dict[tuple[UUID, str], _First] = {}

    def batch(self, body: Body, context: RequestContext) -> list[NewTask] | None:
        """The tasks of a small batch; None where `admit` is to look at them."""
        value = body.value
        entries = value["tasks"] if type(value) is dict and value.keys() == {"tasks"} else None
        if type(entries) is not list or not 1 <= len(entries) <= MAX_TASKS or not body.is_small:
            return None
        return self.tasks(entries, context, body.size)

    def tasks(self, entries: Sequence[Any], context: RequestContext, size: Size) -> list[NewTask] | None:
        """Those that the entries of a small body ask for, likewise."""
        with suppress(NotNow, Refused, ValidationError):
            return spend(effort_on_the_loop(), partial(self._tasks, entries, context, size))
        return None

    def _tasks(self, entries: Sequence[Any], context: RequestContext, size: Size) -> list[NewTask] | None:
        """Raises NotNow, Refused, ValidationError."""
        firsts: dict[str, _First] = {}
        for entry in entries:
            if type(entry) is not dict or entry.keys() != _NAMES or type(entry["params"]) is not dict:
                return None
            name = entry["name"]
            if type(name) is not str:
                return None
            if name not in firsts:
                first = self._first(name, entry, context, size)
                if first is None:
                    return None
                firsts[name] = first
        return self._like(firsts, entries, context, size)

    def _like(
        self, firsts: dict[str, _First], entries: Sequence[Any], context: RequestContext, size: Size
    ) -> list[NewTask] | None:
        """Raises NotNow."""
        tasks = []
        for entry in entries:
            first = firsts[entry["name"]]
            params = accepted(entry["params"], first.spec, self._cipher, "", parsed=True, size=size)
            if isinstance(params, list) or patterns_are_spent():
                return None
            tasks.append(first.task.like(self._make_id(), params, context.request_id, context.traceparent))
        return tasks

    def _first(self, name: str, entry: Any, context: RequestContext, size: Size) -> _First | None:
        """Raises NotNow, Refused, ValidationError."""
        registry, caller = self._types.registry, context.caller
        if registry is not self._registry or len(self._known) >= _MAX_KNOWN:
            self._registry, self._known = registry, {}
        known = self._known.get((caller.key_id, name))
        if known is not None and known.caller is caller:
            return known
        admitted = self._admission.admit_at_once([SubmitTask.model_validate(entry)], context, size)
        spec = registry.admitting(name)
        if admitted is None or admitted.warnings or spec is None:
            return None
        first = _First(admitted.tasks[0], caller, spec)
        self._known[caller.key_id, name] = first
        return first

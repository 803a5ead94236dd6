"""Batches whose tasks have a name and parameters only, as most: what tasks of one type have in common is admitted once.

That takes a third of the processor time of admitting each. Like the short way (docs/decisions/0053), it answers no
refusal: what it does not take goes through `Admission.admit`, and nothing was done by then.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any
from uuid import UUID

from pydantic import ValidationError

from taskyard.admission.bodies import MAX_TASKS, SubmitTask
from taskyard.admission.parameters import accepted
from taskyard.catalogue.effort import NotNow, patterns_are_spent, spend
from taskyard.catalogue.secrets import Cipher
from taskyard.catalogue.sizes import Size
from taskyard.domain.errors import Refused
from taskyard.domain.ids import new_id
from taskyard.lifecycle.submit import NewTask

from .admission import Admission, Admitted, effort_on_the_loop
from .bodies import Body
from .known_types import KnownTypes
from .requests import RequestContext

_NAMES = {"name", "params"}


class Alike:
    def __init__(
        self, admission: Admission, types: KnownTypes, cipher: Cipher, *, make_id: Callable[[], UUID] = new_id
    ) -> None:
        self._admission = admission
        self._types = types
        self._cipher = cipher
        self._make_id = make_id

    def admit(self, body: Body, context: RequestContext) -> Admitted | None:
        """The tasks of a small batch; None where they are to be validated and admitted one by one."""
        value = body.value
        entries = value["tasks"] if type(value) is dict and value.keys() == {"tasks"} else None
        if type(entries) is not list or not 1 < len(entries) <= MAX_TASKS or not body.is_small:
            return None
        first: dict[str, Any] = {}
        for entry in entries:
            if type(entry) is not dict or entry.keys() != _NAMES or type(entry["params"]) is not dict:
                return None
            if type(entry["name"]) is not str:
                return None
            first.setdefault(entry["name"], entry)
        with suppress(NotNow, Refused, ValidationError):
            wanted = [SubmitTask.model_validate(entry) for entry in first.values()]
            admitted = self._admission.admit_at_once(wanted, context, body.size)
            if admitted is not None:
                of_type = dict(zip(first, admitted.tasks, strict=True))
                tasks = spend(effort_on_the_loop(), partial(self._like, of_type, entries, body.size))
                return None if tasks is None else Admitted(tasks, admitted.warnings)
        return None

    def _like(self, of_type: dict[str, NewTask], entries: Sequence[Any], size: Size) -> list[NewTask] | None:
        specs = {name: self._types.registry.admitting(name) for name in of_type}
        tasks = []
        for entry in entries:
            name = entry["name"]
            spec = specs[name]
            if spec is None:
                return None
            params = accepted(entry["params"], spec, self._cipher, "", parsed=True, size=size)
            if isinstance(params, list) or patterns_are_spent():
                return None
            tasks.append(of_type[name].like(self._make_id(), params))
        return tasks

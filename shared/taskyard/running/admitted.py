"""The parameters of a trial, admitted as those of a submit are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from pydantic import BaseModel

from ..admission.admit import admit
from ..admission.wishes import PlainCaller, PlainWish
from ..catalogue.compiled import compile_spec
from ..catalogue.secrets import Cipher
from ..catalogue.spec import spec_of
from ..catalogue.types import TaskType
from ..domain.faults import Fault
from ..lifecycle.submit import NewTask


class NotAdmitted(ValueError):
    """A submit would be refused. The message has a line for each of `faults`: a JSON pointer, and what is wrong."""

    def __init__(self, name: str, faults: Sequence[Fault]) -> None:
        lines = (f"{fault.pointer or '/'}: {fault.message}" for fault in faults)
        super().__init__("\n".join((f"{name} would not be admitted:", *lines)))
        self.faults = tuple(faults)


def admitted(
    task_type: TaskType[Any, Any],
    params: Mapping[str, Any] | BaseModel | None,
    cipher: Cipher,
    caller: PlainCaller,
    *,
    life: timedelta,
    workflow_id: UUID | None = None,
) -> NewTask:
    """The task as it would be stored. Raises NotAdmitted, and SpecRefused where the platform does not take the type."""
    wish = PlainWish(name=task_type.name, params={} if params is None else params)
    spec = compile_spec(spec_of(task_type))
    now = datetime.now(UTC)
    made = admit(wish, spec, caller, cipher=cipher, life=life, now=now, workflow_id=workflow_id, reserved_too=True)
    if isinstance(made, NewTask):
        return made
    raise NotAdmitted(task_type.name, made)

"""TaskType, and the Catalogue of the types that a process knows."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict

from ..domain.errors import Refused
from ..domain.messages import Message, message, verbatim
from ..domain.queues import check_queue_name
from ..domain.retry import RetryPolicy
from ..domain.type_names import check_type_name
from .near import near_names
from .secrets import Cipher, opened
from .words import Vocabulary, Words, check_language, check_template

SOFT_LIMIT = timedelta(seconds=540)
HARD_LIMIT = timedelta(seconds=600)
# Of soft and hard limits. Below it, starting the process anew takes longer than the task was given.
SHORTEST_LIMIT = timedelta(seconds=1)
# In UTF-8: the size of its field in the memory that a worker's processes share.
MAX_NAME_BYTES = 128
# What the column `task.version` holds.
MAX_VERSION = 2**15 - 1
# On a decorated function: its TaskType.
_MARK = "__taskyard_type__"

# Called with the parameters and the TaskContext; may be a coroutine function.
Function = Callable[[Any, Any], Any]
# Stored parameters of an older version, and that version -> parameters of the version of the type.
Upgrade = Callable[[dict[str, Any], int], Mapping[str, Any]]
_CODE = re.compile(r"[a-z][a-z0-9_]{0,99}", re.ASCII)


class Params(BaseModel):
    """The base of parameter models. Unknown names are refused, and submits are strict: "1" and true are not numbers.
    Defaults are validated, so that the default of a secret is a secret, too."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, allow_inf_nan=False, hide_input_in_errors=True, validate_default=True
    )


class Result(BaseModel):
    """The base of result models."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


P = TypeVar("P", bound=BaseModel)
R = TypeVar("R", bound=BaseModel)


@dataclass(frozen=True, kw_only=True)
class TaskType(Generic[P, R]):
    """A task type. `name` is `domain.verb`, of at most 128 bytes; GET /task-types shows the description.

    `errors` are the words of the codes that the task raises with TaskError, by language: `{"too_dear": {"en": "It costs
    {amount}.", "de": ...}}`. `phrases` are the words of values `{"phrase": name}` in them.
    """

    name: str
    description: str
    params: type[P]
    result: type[R]
    queue: str = "default"
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    soft_limit: timedelta = SOFT_LIMIT
    hard_limit: timedelta = HARD_LIMIT
    version: int = 1
    function: Function | None = field(default=None, repr=False)
    upgrade: Upgrade | None = field(default=None, repr=False)
    errors: Mapping[str, Words] = field(default_factory=dict, repr=False, hash=False)
    phrases: Mapping[str, Words] = field(default_factory=dict, repr=False, hash=False)

    @property
    def is_async(self) -> bool:
        """Whether its function is a coroutine function."""
        return inspect.iscoroutinefunction(self.function)

    def check(self) -> None:
        """Raises ValueError where the platform could not store or run tasks of this type."""
        if not 0 < len(self.name.encode()) <= MAX_NAME_BYTES:
            raise ValueError(f"a task type's name has 1 to {MAX_NAME_BYTES} bytes: {self.name[:80]!r} does not")
        check_type_name(self.name)
        try:
            check_queue_name(self.queue)
        except ValueError as e:
            raise ValueError(f"the task type {self.name!r}: {e}") from None
        if not 1 <= self.version <= MAX_VERSION:
            raise ValueError(f"the task type {self.name!r}: its version must be 1 to {MAX_VERSION}")
        if min(self.soft_limit, self.hard_limit) < SHORTEST_LIMIT:
            raise ValueError(f"the task type {self.name!r}: its limits must be {SHORTEST_LIMIT.seconds} s at least")
        # At the floor there is no room for a shorter one.
        if self.soft_limit >= self.hard_limit > SHORTEST_LIMIT or self.soft_limit > self.hard_limit:
            raise ValueError(f"the task type {self.name!r}: its soft limit must be shorter than its hard limit")
        for key, words in (*self.errors.items(), *self.phrases.items()):
            try:
                _check_words(key, words)
            except ValueError as e:
                raise ValueError(f"the task type {self.name!r}, words of {key[:100]!r}: {e}") from None

    @property
    def vocabulary(self) -> Vocabulary:
        return Vocabulary(self.errors, self.phrases)

    def upgraded(self, params: dict[str, Any], version: int) -> Mapping[str, Any]:
        """The opened parameters of a task that was submitted for `version`, as this version of the type takes them.

        Raises whatever the type's upgrade function raises.
        """
        return params if self.upgrade is None or version >= self.version else self.upgrade(params, version)

    def read(self, stored: Mapping[str, Any], cipher: Cipher) -> P:
        """The parameters of a stored task, secrets decrypted.

        Raises pydantic.ValidationError where they no longer fit the type, SecretsUnreadable without the
        right key.
        """
        # All sealed values are opened before the model reads them: admission seals by schema, and seals what may be
        # secret in a part of the schema that the model does not choose.
        return self.validated(opened(stored, cipher)[0], cipher)

    def validated(self, params: Mapping[str, Any], cipher: Cipher) -> P:
        """The model of opened parameters. Raises pydantic.ValidationError."""
        return self.params.model_validate(params, context={"cipher": cipher})


def _check_words(key: str, words: Words) -> None:
    if not _CODE.fullmatch(key):
        raise ValueError("a code is lower-case letters, digits and _, at most 100")
    for language, template in words.items():
        check_language(language)
        check_template(template)


def mark(function: Callable[..., Any], task_type: TaskType[Any, Any]) -> None:
    """Makes a task type findable by its function."""
    setattr(function, _MARK, task_type)


def type_of(value: object) -> TaskType[Any, Any] | None:
    """The type itself, or that of a decorated function; None for everything else."""
    if isinstance(value, TaskType):
        return value
    found = getattr(value, _MARK, None) if inspect.isfunction(value) else None
    return found if isinstance(found, TaskType) else None


class UnknownTaskType(Refused):
    code = "unknown_task_type"


# What a sentence lists of those that are loaded.
_MANY_NAMES = 20


class Catalogue:
    """Task types by name."""

    def __init__(self, types: Iterable[TaskType[Any, Any]]) -> None:
        self._types: dict[str, TaskType[Any, Any]] = {}
        for task_type in types:
            task_type.check()
            other = self._types.setdefault(task_type.name, task_type)
            if other is not task_type:
                raise ValueError(f"the task type {task_type.name!r} is declared twice")

    def __getitem__(self, name: str) -> TaskType[Any, Any]:
        """Raises UnknownTaskType, with the nearest names."""
        try:
            return self._types[name]
        except KeyError:
            raise UnknownTaskType(advice(name, self.names, _those_here(self.names))) from None

    def __contains__(self, name: object) -> bool:
        return name in self._types

    def __iter__(self) -> Iterator[TaskType[Any, Any]]:
        return iter(self._types.values())

    def __len__(self) -> int:
        return len(self._types)

    def words_of(self, name: str, version: int) -> Vocabulary:
        """The words of a type; none where it is unknown. All versions share those of the one that is declared."""
        task_type = self._types.get(name)
        return Vocabulary() if task_type is None else task_type.vocabulary

    @cached_property
    def versions(self) -> Mapping[str, int]:
        """The version of each type, by name."""
        return {task_type.name: task_type.version for task_type in self}

    @cached_property
    def names(self) -> tuple[str, ...]:
        return tuple(sorted(self._types))


def advice(name: str, names: Sequence[str], every: str | None = None) -> Message:
    """The sentence for a name that is not among these, with the nearest ones; else with `every`, which says where they
    all are."""
    near, named = near_names(name, names), repr(name[:100])
    if near:
        return message("There is no task type {name}. Did you mean {near}?", name=named, near=", ".join(near))
    if every is not None:
        return verbatim(f"There is no task type {named}. {every}")
    return message("There is no task type {name}. GET /api/v1/task-types lists all of them.", name=named)


def _those_here(names: Sequence[str]) -> str:
    """Of a process that runs them: no API need be there."""
    if not names:
        return "None is loaded here: name its module in TASKYARD_TASK_MODULES."
    more = len(names) - _MANY_NAMES
    rest = f" and {more} more" if more > 0 else ""
    return f"Loaded here: {', '.join(names[:_MANY_NAMES])}{rest}."

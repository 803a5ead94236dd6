"""TaskSpec: a task type as data. Workers register it; API and scheduler read it.

A spec comes from a worker over the network, so `TaskSpec.parse` treats it as input: every part of it is bounded.
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
from functools import cached_property
from typing import Annotated, Any

import orjson
from pydantic import Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from ..domain.queues import check_queue_name
from ..domain.type_names import check_type_name
from .generate import SpecSchema
from .kit import Kit
from .retry_spec import LONGEST_SECONDS, MAX_CODES, STRICT, Code, RetrySpec, retry_of
from .schemas import SchemaRefused, check_schema
from .secret_places import SecretPlaces
from .types import MAX_NAME_BYTES, MAX_VERSION, SHORTEST_LIMIT, TaskType
from .words import TemplateRefused, Vocabulary, Words, check_language, check_template

MAX_SPEC_BYTES = 64 * 1024
MAX_SPEC_DEPTH = 32
MAX_LANGUAGES = 50
MAX_SCHEDULES = 20  # standing schedules of one type

Timeout = Annotated[float, Field(ge=SHORTEST_LIMIT.total_seconds(), le=LONGEST_SECONDS)]
Name = Annotated[str, Field(min_length=1, max_length=MAX_NAME_BYTES)]
Text = Annotated[str, Field(max_length=10_000)]


class SpecRefused(ValueError):
    """This is not a spec that the platform takes; `reason` says why, for the author of the task type."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, kw_only=True, config=STRICT)
class StandingSpec:
    """A schedule that is made once, when the type first registers: `kit.StandingSchedule` as data."""

    name: Annotated[str, Field(min_length=1, max_length=100)]
    trigger: dict[str, str | int]
    params: dict[str, Any] = dataclasses.field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class TaskSpec:
    """What a worker registers of a task type.

    `params` and `result` are JSON Schemas (2020-12) of the accepted parameters and of the stored result. `errors` is
    `{code: {"words": {language: template}}}`, `phrases` is `{name: {language: text}}`. Of a name, the newest version
    that a live worker runs admits new tasks. `params_order` names the properties of `params` as they were declared:
    jsonb keeps no order of keys, and positional arguments (the Celery side of the client) need it.
    """

    name: Name
    version: Annotated[int, Field(ge=1, le=MAX_VERSION)] = 1
    description: Text = ""
    kit: Annotated[str, Field(max_length=100)] = ""
    queue: str
    params: dict[str, Any]
    params_order: tuple[str, ...] = ()
    result: dict[str, Any]
    retry: RetrySpec
    soft_timeout_seconds: Timeout
    hard_timeout_seconds: Timeout
    errors: Annotated[dict[Code, dict[str, dict[str, str]]], Field(max_length=MAX_CODES)] = dataclasses.field(
        default_factory=dict
    )
    phrases: Annotated[dict[Code, dict[str, str]], Field(max_length=MAX_CODES)] = dataclasses.field(
        default_factory=dict
    )
    schedules: Annotated[tuple[StandingSpec, ...], Field(max_length=MAX_SCHEDULES)] = ()

    @classmethod
    def parse(cls, data: object) -> TaskSpec:
        """The spec out of decoded JSON. Fields that this release does not know are left out.

        Raises SpecRefused. Takes milliseconds of processor time at the limits: keep it off event loops.
        """
        text = _bounded_json(data)
        try:
            spec = _SPEC.validate_json(text)
        except ValidationError as e:
            raise SpecRefused(_first(e)) from None
        _check(spec)
        return spec._in_order()

    def _in_order(self) -> TaskSpec:
        properties = self.params.get("properties")
        if not self.params_order or not isinstance(properties, dict):
            return self
        named = {name: properties[name] for name in self.params_order if name in properties}
        return dataclasses.replace(self, params={**self.params, "properties": {**named, **properties}})

    def as_json(self) -> dict[str, Any]:
        """The spec as JSON-able values; `parse` reads it back."""
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        for name in ("params_order", "schedules"):
            if not fields[name]:
                del fields[name]  # as workers of releases before register it: the digest is the same
        made: dict[str, Any] = orjson.loads(orjson.dumps(fields))
        return made

    @cached_property
    def vocabulary(self) -> Vocabulary:
        return Vocabulary({code: told.get("words", {}) for code, told in self.errors.items()}, self.phrases)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the canonical JSON, in hexadecimal: the same before and after a trip through jsonb."""
        canonical = orjson.dumps(_canonical(self.as_json()), option=orjson.OPT_SORT_KEYS)
        return hashlib.sha256(canonical).hexdigest()


_SPEC = TypeAdapter(TaskSpec)


def spec_of(task_type: TaskType[Any, Any], *, kit: Kit | None = None) -> TaskSpec:
    """The spec of a declared type, of this kit. Raises SpecRefused where the platform would not take it."""
    params = task_type.params.model_json_schema(mode="validation", schema_generator=SpecSchema)
    return TaskSpec.parse(
        {
            "name": task_type.name,
            "version": task_type.version,
            "description": task_type.description,
            "kit": "" if kit is None else kit.name,
            "queue": task_type.queue,
            "params": params,
            "params_order": list(params.get("properties", ())),
            "result": task_type.result.model_json_schema(mode="serialization", schema_generator=SpecSchema),
            "retry": retry_of(task_type.retry),
            "soft_timeout_seconds": task_type.soft_limit.total_seconds(),
            "hard_timeout_seconds": task_type.hard_limit.total_seconds(),
            "errors": {code: {"words": dict(words)} for code, words in task_type.errors.items()},
            "phrases": {name: dict(words) for name, words in task_type.phrases.items()},
            "schedules": [
                {"name": standing.name, "trigger": standing.trigger, "params": dict(standing.params)}
                for standing in (() if kit is None else kit.schedules)
                if standing.task == task_type.name
            ],
        }
    )


def _bounded_json(data: object) -> bytes:
    """The data as JSON text. Raises SpecRefused for what is no JSON, too long or nested too deeply."""
    _check_values(data)
    try:
        text = orjson.dumps(data)
    except (TypeError, ValueError):  # keys that are no text, lone surrogates, integers beyond 64 bits
        raise SpecRefused("a spec is JSON, and this is not") from None
    if len(text) > MAX_SPEC_BYTES:
        raise SpecRefused(f"a spec has at most {MAX_SPEC_BYTES} bytes as JSON")
    return text


def _check_values(data: object) -> None:
    # Level by level instead of recursive: the data may be nested more deeply than Python's stack.
    level, seen = [data], 0
    for _ in range(MAX_SPEC_DEPTH + 1):
        seen += len(level)
        if seen > MAX_SPEC_BYTES:  # every value takes a byte of JSON
            raise SpecRefused(f"a spec has at most {MAX_SPEC_BYTES} bytes as JSON")
        inner: list[object] = []
        for value in level:
            match value:
                case dict():
                    inner += [*value.keys(), *value.values()]
                case list() | tuple():
                    inner += value
                case float() if not math.isfinite(value):
                    raise SpecRefused("a spec is JSON, and this has a number that is not finite")
                case str() if "\x00" in value:
                    raise SpecRefused("a spec cannot hold the NUL character")
        if not inner:
            return
        level = inner
    raise SpecRefused(f"a spec is nested at most {MAX_SPEC_DEPTH} levels deep")


def _check(spec: TaskSpec) -> None:
    """What the fields' own types do not say. Raises SpecRefused."""
    if len(spec.name.encode()) > MAX_NAME_BYTES:
        raise SpecRefused(f"/name: a task type's name has 1 to {MAX_NAME_BYTES} bytes")
    try:
        check_type_name(spec.name)
    except ValueError as e:
        raise SpecRefused(f"/name: {e}") from None
    try:
        check_queue_name(spec.queue)
    except ValueError as e:
        raise SpecRefused(f"/queue: {e}") from None
    for field in ("params", "result"):
        try:
            parts = check_schema(getattr(spec, field))
            if field == "params":
                SecretPlaces(parts).forget_values()
        except SchemaRefused as e:
            raise SpecRefused(f"/{field}: {e}") from None
    for code, told in spec.errors.items():
        _check_words(f"/errors/{code}", told.get("words", {}))
    for name, words in spec.phrases.items():
        _check_words(f"/phrases/{name}", words)


def _check_words(place: str, words: Words) -> None:
    if len(words) > MAX_LANGUAGES:
        raise SpecRefused(f"{place}: at most {MAX_LANGUAGES} languages")
    for language, template in words.items():
        try:
            check_language(language)
            check_template(template)
        except (TemplateRefused, ValueError) as e:
            raise SpecRefused(f"{place}: {e}") from None


def _first(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    place = "".join(f"/{part}"[:100] for part in first["loc"])
    return f"{place or '/'}: {first['msg']}"


def _canonical(value: Any) -> Any:
    """JSON in one spelling: 600.0 and 600 are the same number, and jsonb may give back either."""
    match value:
        case dict():
            return {key: _canonical(inner) for key, inner in value.items()}
        case list():
            return [_canonical(inner) for inner in value]
        case float() if value.is_integer() and abs(value) < 2**63:
            return int(value)
        case _:
            return value

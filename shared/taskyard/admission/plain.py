"""Values of Python as JSON has them: what a task, a test or a schedule gives as parameters.

Text and numbers stay what they are; UUIDs, times, enums, models and their like become what Pydantic makes of them in
JSON. Secrets are unwrapped, and their places kept, so that they are sealed again whatever the schema says of them.
"""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Collection, Iterator, KeysView, Mapping, ValuesView
from decimal import Decimal
from enum import Enum
from typing import Any

import pydantic
from pydantic import BaseModel, SecretBytes, SecretStr
from pydantic_core import PydanticSerializationError, to_jsonable_python

from ..catalogue.secrets import Secret
from ..domain.messages import message
from ..domain.pointers import pointer
from ..lifecycle.batch import MAX_DEPTH, Unstorable

Place = tuple[str | int, ...]

# More values do not fit into the largest parameters. It also bounds iterators.
_MAX_VALUES = 128 * 1024
_NO_TEXT = message("Keys must be text.")
_SECRETS = (Secret, SecretStr, SecretBytes, pydantic.Secret)
_LISTS = (list, tuple, set, frozenset, deque, KeysView, ValuesView, Iterator)


class TooMany(ValueError):
    """There are more values than parameters may have."""


class Plain:
    """`value` as JSON has it, with the places in it that were secret, and those that were decimal numbers.

    Decimals become text, which loses nothing. Keys must be text, or what a model declares: it reads them back as what
    they were. Raises Unstorable for what has no form in JSON, and TooMany.
    """

    __slots__ = ("_decimals", "_left", "_other_keys", "secrets", "value")

    def __init__(self, value: object, other_keys: dict[Place, list[Any]] | None = None, place: Place = ()) -> None:
        """`other_keys`: where keys may be no text, they are noted here. `place`: where the value stands."""
        self.secrets: list[Place] = []
        self._decimals: list[tuple[Place, Decimal]] = []
        self._left = _MAX_VALUES
        self._other_keys = other_keys
        self.value: Any = self._walk(value, place)

    @property
    def has_decimals(self) -> bool:
        return bool(self._decimals)

    def with_numbers(self, pointers: Collection[str]) -> Any:
        """The value with the decimals at these places, and below them, as numbers: for a schema that takes no text."""
        made = self.value
        for place, decimal in self._decimals:
            above = (pointer(place[:n]) for n in range(len(place) + 1))
            if any(pointer in pointers for pointer in above):
                made = _replaced(made, place, float(decimal))
        return made

    def _walk(self, value: Any, place: Place) -> Any:
        self._left -= 1
        if self._left < 0:
            raise TooMany
        if value is None or type(value) in (str, int, float, bool):
            return value
        if len(place) >= MAX_DEPTH:
            raise Unstorable(message("Nested deeper than {levels} levels.", levels=MAX_DEPTH), pointer(place))
        match value:
            case Mapping():
                return self._object(value, place)
            case _ if isinstance(value, _LISTS):
                return [self._walk(inner, (*place, n)) for n, inner in enumerate(value)]
            case _ if isinstance(value, _SECRETS):
                self.secrets.append(place)
                return self._walk(value.reveal() if isinstance(value, Secret) else value.get_secret_value(), place)
            case BaseModel():
                return self._model(value, place)
            case Enum():
                return self._walk(value.value, place)
            case Decimal():
                self._decimals.append((place, value))
            case _ if dataclasses.is_dataclass(value) and not isinstance(value, type):
                fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
                return self._walk(fields, place)
        return _leaf(value, place)

    def _model(self, model: BaseModel, place: Place) -> Any:
        # As Python values: in JSON a model shows its secrets as stars.
        dumped = _dumped(model, place)
        if self._other_keys is not None:
            return self._walk(dumped, place)
        self._other_keys = {}
        made = self._walk(dumped, place)
        found, self._other_keys = self._other_keys, None
        if found and _keys_read_back(type(model), made, place) != found:
            raise Unstorable(_NO_TEXT, pointer(next(iter(found))))
        return made

    def _object(self, value: Mapping[Any, Any], place: Place) -> dict[str, Any]:
        made: dict[str, Any] = {}
        for key, inner in value.items():
            if not isinstance(key, str):
                if self._other_keys is None:
                    raise Unstorable(_NO_TEXT, pointer(place))
                self._other_keys[place] = list(value)
            if (name := _name(key, place)) in made:
                raise Unstorable(message("Two keys are {key} in JSON.", key=repr(name[:80])), pointer(place))
            made[name] = self._walk(inner, (*place, name))
        return made


def _dumped(model: BaseModel, place: Place) -> Any:
    try:
        return model.model_dump(by_alias=True, warnings=False)
    except (PydanticSerializationError, ValueError) as e:
        raise Unstorable(message("{type} is not JSON.", type=type(model).__name__), pointer(place)) from e


def _keys_read_back(kind: type[BaseModel], value: Any, place: Place) -> dict[Place, list[Any]]:
    """The keys that are no text, as a model of this kind has them when it reads the value."""
    found: dict[Place, list[Any]] = {}
    try:
        Plain(_dumped(kind.model_validate(value), place), found, place)
    except ValueError:
        return {}
    return found


def _leaf(value: Any, place: Place) -> Any:
    try:
        return to_jsonable_python(value)
    except (PydanticSerializationError, ValueError) as e:
        raise Unstorable(message("{type} is not JSON.", type=type(value).__name__), pointer(place)) from e


def _name(key: Any, place: Place) -> str:
    if type(key) is str:
        return key
    try:
        return str(next(iter(to_jsonable_python({key: None}))))
    except (PydanticSerializationError, ValueError) as e:
        raise Unstorable(_NO_TEXT, pointer(place)) from e


def _replaced(value: Any, place: Place, by: Any) -> Any:
    if not place:
        return by
    made = value.copy()
    made[place[0]] = _replaced(made[place[0]], place[1:], by)
    return made

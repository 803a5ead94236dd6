"""The result of a task as it is stored.

What Pydantic writes as JSON for a declared type (a UUID, a time, a decimal, keys that are numbers) is that type's form.
Where anything may stand, nothing is changed without a word: what JSON cannot hold is refused.
"""

from __future__ import annotations

import dataclasses
import math
from collections import deque
from collections.abc import Iterator
from enum import Enum
from itertools import islice
from typing import Any

from pydantic import BaseModel
from pydantic_core import to_jsonable_python

from ..domain.messages import message
from ..domain.pointers import escaped
from ..lifecycle.batch import MAX_DEPTH, Unstorable, check_storable
from .speech import MASK, Redact, said, text_of

MAX_RESULT_BYTES = 256 * 1024
_PLAIN = {str, int, float, bool, type(None)}
_LISTS = (list, tuple, set, frozenset, deque)
# A shorter number may be the same by chance.
_TELLING_DIGITS = 4


class TooManyValues(Exception):
    """A result has more values than it may have bytes."""


def stored_form(model: BaseModel, redact: Redact) -> Any:
    """The JSON value of a result, without secrets. Raises Unstorable for what cannot be stored as it is, TooManyValues,
    and whatever the model's own code raises."""
    count = _Count()
    count.list_fields(model, MAX_DEPTH + 1)
    value = model.model_dump(mode="json")
    check_storable(value)
    if vars(model) != value:  # nearly all are equal
        plain = _Count().listed(model.model_dump(mode="python", warnings=False), MAX_DEPTH + 1)
        _check_numbers(plain, value, "")
        _check_keys(type(model), plain, value)
    return value if redact is str else _struck(value, redact)


class _Count:
    """Counts values before they are written: that cannot be interrupted, and what has no end would take all memory, as
    would a list that holds the same list many times over, level by level."""

    def __init__(self) -> None:
        self._left = MAX_RESULT_BYTES

    def listed(self, value: Any, depth: int) -> Any:
        """The value with lists in the place of iterators, which could be read only once."""
        self._left -= 1
        if self._left < 0:
            raise TooManyValues
        kind = type(value)
        if kind in _PLAIN or depth == 0:
            return value
        if issubclass(kind, dict):
            made = {key: self.listed(inner, depth - 1) for key, inner in value.items()}
            return made if any(made[key] is not inner for key, inner in value.items()) else value
        if issubclass(kind, _LISTS):
            items = [self.listed(inner, depth - 1) for inner in value]
            return items if any(new is not old for new, old in zip(items, value, strict=True)) else value
        if issubclass(kind, Iterator):
            return [self.listed(inner, depth - 1) for inner in islice(value, self._left + 1)]
        if issubclass(kind, BaseModel) or dataclasses.is_dataclass(kind):
            self.list_fields(value, depth)
        return value

    def list_fields(self, value: Any, depth: int) -> None:
        """Puts lists in the place of the iterators among the fields of a model or dataclass, which stays what it is."""
        if isinstance(value, BaseModel):
            for fields in (vars(value), value.__pydantic_extra__ or {}):
                for name, inner in list(fields.items()):
                    fields[name] = self.listed(inner, depth - 1)
            return
        for name in [field.name for field in dataclasses.fields(value)]:
            if (made := self.listed(inner := getattr(value, name), depth - 1)) is not inner:
                object.__setattr__(value, name, made)  # also where it is frozen


def _check_numbers(plain: Any, value: Any, pointer: str) -> None:
    """Pydantic writes null for a number that JSON has no form for."""
    plain = _opened(plain)
    if value is None and isinstance(plain, float) and not math.isfinite(plain):
        raise Unstorable(message("{number} is no number in JSON.", number=str(float(plain))), pointer)
    if isinstance(plain, dict) and isinstance(value, dict):
        # Keys that became equal are told by _check_keys.
        for inner, (key, written) in zip(plain.values(), value.items(), strict=False):
            _check_numbers(inner, written, f"{pointer}/{escaped(key)}")
    elif isinstance(plain, list) and isinstance(value, list):
        for place, (inner, written) in enumerate(zip(plain, value, strict=False)):
            _check_numbers(inner, written, f"{pointer}/{place}")
    elif isinstance(plain, set | frozenset):
        for inner in plain:  # in another order than `value`
            _check_numbers(inner, to_jsonable_python(inner, inf_nan_mode="null", fallback=text_of), pointer)


def _opened(plain: Any) -> Any:
    """What Pydantic writes in its place."""
    if isinstance(plain, Enum):
        return plain.value
    return list(plain) if isinstance(plain, tuple | deque) else plain


def _check_keys(kind: type[BaseModel], plain: Any, value: Any) -> None:
    """Keys that are not text are written as text. That is their form where the model reads them back as what they were;
    where anything may stand, they would stay text."""
    found = _other_keys(plain, "")
    if not found:
        return
    back = _other_keys(kind.model_validate(value, strict=False).model_dump(mode="python", warnings=False), "")
    for pointer, keys in found.items():
        if back.get(pointer) != keys:
            raise Unstorable(message("Keys must be text."), pointer)


def _other_keys(plain: Any, pointer: str) -> dict[str, list[Any]]:
    """The keys of the dictionaries that have others than text, by place."""
    found: dict[str, list[Any]] = {}
    plain = _opened(plain)
    if isinstance(plain, dict):
        if any(not isinstance(key, str) for key in plain):
            found[pointer] = list(plain)
        for key, inner in plain.items():
            found |= _other_keys(inner, f"{pointer}/{escaped(key)}")
    elif isinstance(plain, list):
        for place, inner in enumerate(plain):
            found |= _other_keys(inner, f"{pointer}/{place}")
    return found


def _struck(value: Any, redact: Redact) -> Any:
    match value:
        case str():
            return said(value, redact)
        case dict():
            return {said(key, redact): _struck(inner, redact) for key, inner in value.items()}
        case list() | tuple():
            return [_struck(inner, redact) for inner in value]
        case int() | float() if not isinstance(value, bool):
            text = str(value)
            return MASK if len(text) >= _TELLING_DIGITS and redact(text) == MASK else value
    return value

"""The result of a task as it is stored.

What Pydantic writes as JSON for a declared type (a UUID, a time, a decimal, keys that are numbers) is that type's form.
Where anything may stand, nothing is changed without a word: what JSON cannot hold is refused.
"""

from __future__ import annotations

import math
from typing import Any

from pydantic import BaseModel

from ..domain.messages import message
from ..lifecycle.batch import Unstorable, check_storable
from .speech import MASK, Redact, said

# A shorter number may be the same by chance.
_TELLING_DIGITS = 4


def stored_form(model: BaseModel, redact: Redact) -> Any:
    """The JSON value of a result, without secrets. Raises Unstorable for what cannot be stored as it is, and whatever
    the model's own code raises."""
    value = model.model_dump(mode="json")
    check_storable(value)
    plain = model.model_dump(mode="python", warnings=False)
    if plain != value:  # nearly all are equal
        _check_numbers(plain, value, "")
        _check_keys(type(model), plain, value)
    return value if redact is str else _struck(value, redact)


def _check_numbers(plain: Any, value: Any, pointer: str) -> None:
    """Pydantic writes null for a number that JSON has no form for."""
    if value is None and isinstance(plain, float) and not math.isfinite(plain):
        raise Unstorable(message("{number} is no number in JSON.", number=str(float(plain))), pointer)
    if isinstance(plain, dict) and isinstance(value, dict):
        # Keys that became equal are told by _check_keys.
        for inner, (key, written) in zip(plain.values(), value.items(), strict=False):
            _check_numbers(inner, written, f"{pointer}/{key}")
    elif isinstance(plain, list | tuple) and isinstance(value, list):
        for place, (inner, written) in enumerate(zip(plain, value, strict=False)):
            _check_numbers(inner, written, f"{pointer}/{place}")


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
    if isinstance(plain, dict):
        if any(not isinstance(key, str) for key in plain):
            found[pointer] = list(plain)
        for key, inner in plain.items():
            found |= _other_keys(inner, f"{pointer}/{key}")
    elif isinstance(plain, list | tuple):
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

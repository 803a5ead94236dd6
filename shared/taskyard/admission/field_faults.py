"""What Pydantic finds wrong with data, in messages that name the field and never quote a value."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from ..domain.faults import MAX_FAULTS, Fault
from ..domain.messages import Choice, Message, marked, message, message_of, verbatim
from ..domain.pointers import pointer

# An error of pydantic takes a kilobyte once it is told.
_MAX_ERRORS = 2_000
_PYDANTICS = re.compile(r"^(Input|String|List|Tuple|Value|Dictionary|Data|Decimal input) should")
_NO_OBJECT = frozenset({"model_type", "model_attributes_type", "dict_type"})  # pydantic's message names our classes
_EXPECTED = re.compile(r"'[^']*'|[^\s,']+")
_AT_LEAST = marked("{field} must have at least {limit} characters")
_AT_MOST = marked("{field} must have at most {limit} characters")
_ITEMS_AT_LEAST = marked("{field} must have at least {limit} items")
_ITEMS_AT_MOST = marked("{field} must have at most {limit} items")
_ONE = {
    _AT_LEAST: marked("{field} must have at least {limit} character"),
    _AT_MOST: marked("{field} must have at most {limit} character"),
    _ITEMS_AT_LEAST: marked("{field} must have at least {limit} item"),
    _ITEMS_AT_MOST: marked("{field} must have at most {limit} item"),
}
# By pydantic's type of error: the template, and the name of its limit.
TEMPLATES = {
    "string_type": (marked("{field} must be a valid string"), ""),
    "list_type": (marked("{field} must be a valid list"), ""),
    "bool_type": (marked("{field} must be a valid boolean"), ""),
    "bool_parsing": (marked("{field} must be a valid boolean"), ""),
    "int_type": (marked("{field} must be a valid integer"), ""),
    "int_parsing": (marked("{field} must be a valid integer"), ""),
    "int_from_float": (marked("{field} must be a valid integer"), ""),
    "float_type": (marked("{field} must be a valid number"), ""),
    "float_parsing": (marked("{field} must be a valid number"), ""),
    "finite_number": (marked("{field} must be a finite number"), ""),
    "uuid_type": (marked("{field} must be a UUID with hyphens"), ""),
    "uuid_parsing": (marked("{field} must be a UUID with hyphens"), ""),
    "timezone_aware": (marked("{field} must be a time with its offset"), ""),
    "datetime_type": (marked("{field} must be a valid time"), ""),
    "datetime_parsing": (marked("{field} must be a valid time"), ""),
    "datetime_from_date_parsing": (marked("{field} must be a valid time"), ""),
    "string_pattern_mismatch": (marked("{field} must match the pattern {limit}"), "pattern"),
    "greater_than_equal": (marked("{field} must be greater than or equal to {limit}"), "ge"),
    "greater_than": (marked("{field} must be greater than {limit}"), "gt"),
    "less_than_equal": (marked("{field} must be less than or equal to {limit}"), "le"),
    "less_than": (marked("{field} must be less than {limit}"), "lt"),
    "string_too_short": (_AT_LEAST, "min_length"),
    "string_too_long": (_AT_MOST, "max_length"),
    "too_short": (_ITEMS_AT_LEAST, "min_length"),
    "too_long": (_ITEMS_AT_MOST, "max_length"),
}


def faults_of(error: ValidationError, prefix: str = "") -> list[Fault]:
    """The errors, without the values that caused them: those may be secrets."""
    if error.error_count() > _MAX_ERRORS:
        return [Fault(prefix, message("More than {count} things are wrong here.", count=MAX_FAULTS))]
    found = error.errors(include_url=False, include_input=False)
    places = [one["loc"] for one in found[:MAX_FAULTS]]
    return [
        Fault(prefix + pointer(place), told_of(one, _named(place))) for place, one in zip(places, found, strict=False)
    ]


def told_of(error: Mapping[str, Any], named: str) -> Message:
    """An error of pydantic with the name of its field: it also stands without its pointer, as the `detail` of a problem
    whose only fault it is."""
    kind, about = error["type"], error.get("ctx", {})
    if kind == "missing":
        return message("{field} is required.", field=named)
    if kind == "extra_forbidden":
        return message("There is no field {field}.", field=named)
    if kind in _NO_OBJECT:
        return message("Must be a JSON object.")
    if kind in {"literal_error", "enum"}:
        options = Choice(_EXPECTED.findall(about["expected"].replace(" or ", ", ")))
        return message("{field} must be {options}", field=named, options=options)
    if kind == "value_error":
        return _of_validator(message_of(about["error"]), named)
    template, limit = TEMPLATES.get(kind, ("", ""))
    if not template:  # in pydantic's own words
        return verbatim(_PYDANTICS.sub(f"{named} must", error["msg"]))
    if not limit:
        return message(template, field=named)
    most = about[limit]
    return message(_ONE.get(template, template) if most == 1 else template, field=named, limit=_plain(most))


def _named(loc: tuple[int | str, ...]) -> str:
    names = [part for part in loc if isinstance(part, str)]
    if not names:
        return message("This")
    field = f"`{names[-1][:100]}`"
    return field if isinstance(loc[-1], str) else message("An entry of {field}", field=field)


def _of_validator(told: Message, named: str) -> Message:
    """What a validator of ours says of `{field}`, with the name of the field."""
    if told.template is None or "field" not in told.values:
        return told
    return message(told.template, **{**told.values, "field": named})


def _plain(limit: Any) -> str | int | float:
    """As pydantic tells it."""
    if isinstance(limit, float) and limit.is_integer():
        return f"{limit:.0f}"
    return limit if isinstance(limit, str | int | float) else str(limit)

"""Bodies: JSON within limits, validated by models. Errors name the place by pointer and never quote values."""

from __future__ import annotations

import json
import re
from typing import Any, TypeVar

import orjson
from pydantic import BaseModel, ValidationError

from taskyard.lifecycle.batch import MAX_DEPTH, Unstorable, check_storable

from .refusals import Fault, Invalid, Malformed, UnsupportedMedia
from .requests import Request

KIB, MIB = 1024, 1024**2
MAX_BODY = MIB
MAX_BATCH_BODY = 16 * MIB
MAX_FAULTS = 100

M = TypeVar("M", bound=BaseModel)

_IMPOSSIBLE = 1 << 40
# More digits than 64 bits hold: orjson would silently make a float of them.
_MANY_DIGITS = re.compile(rb"[0-9]{19}")


async def read_json(req: Request, *, limit: int = MAX_BODY) -> tuple[Any, bytes]:
    """The body as JSON, and its bytes.

    Raises UnsupportedMedia, TooLarge, Malformed, and Invalid for what JSON allows and the ledger cannot hold.
    """
    _require_json(req)
    body = await req.body(limit)
    return parse_json(body), body


async def read_nothing(req: Request) -> bytes:
    """For calls that take no body: none, or an empty object. Raises Invalid, Malformed, TooLarge."""
    body = await req.body(MAX_BODY)
    if body.strip() and parse_json(body) != {}:
        raise Invalid([Fault("", "This call takes no body.")])
    return body


def parse_json(body: bytes) -> Any:
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as e:
        # Without the text around the error: it may be a secret.
        raise Malformed(f"The body is not JSON: line {e.lineno}, column {e.colno}.") from None
    # The cheap test first, because every submit passes here. Fewer names than colons: there is a colon in some
    # string, or a name occurs twice in an object.
    if (
        b"\\u0000" in body
        or _MANY_DIGITS.search(body) is not None
        or body.count(b":") != _count_names(value, MAX_DEPTH)
    ):
        _check_thoroughly(value, body)
    return value


def _count_names(value: Any, depth: int) -> int:
    """The names in all objects of a JSON value; -1 or less where it is nested too deeply."""
    kind = type(value)
    if kind is dict:
        count, inside = len(value), value.values()
    elif kind is list:
        count, inside = 0, value
    else:
        return 0
    if depth == 0:
        return -_IMPOSSIBLE
    for inner in inside:
        kind = type(inner)
        if kind is dict or kind is list:
            count += _count_names(inner, depth - 1)
    return count


class _Twice(ValueError):
    pass


def _check_thoroughly(value: Any, body: bytes) -> None:
    try:
        check_storable(value)  # first: the standard library's parser follows deep nesting down the C stack
        check_storable(json.loads(body, object_pairs_hook=_object))
    except Unstorable as e:
        raise Invalid([Fault(e.pointer, e.message)]) from None
    except _Twice as e:
        raise Malformed(f"An object of the body has a name twice{e}.") from None
    except ValueError:  # an integer of thousands of digits
        raise Malformed("The body has a number that is out of range.") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise _Twice("")
    return made


def _require_json(req: Request) -> None:
    given = req.header(b"content-type")
    if given != b"application/json":
        media, _, options = (given or b"").decode("latin-1").lower().partition(";")
        charset = options.replace(" ", "").replace('"', "")
        if media.strip() != "application/json" or (charset and charset != "charset=utf-8"):
            raise UnsupportedMedia("Send the body as application/json, in UTF-8.")
    if req.header(b"content-encoding") not in {None, b"identity"}:
        raise UnsupportedMedia("Send the body without a Content-Encoding.")


def validated(model: type[M], value: Any) -> M:
    """Raises Invalid."""
    try:
        return model.model_validate(value)
    except ValidationError as e:
        raise Invalid(faults_of(e)) from None


def faults_of(error: ValidationError, prefix: str = "") -> list[Fault]:
    """The errors, without the values that caused them: those may be secrets."""
    found = error.errors(include_url=False, include_context=False, include_input=False)
    return [Fault(prefix + pointer(e["loc"]), _words(e["type"], e["msg"])) for e in found[:MAX_FAULTS]]


def pointer(loc: tuple[int | str, ...]) -> str:
    """RFC 6901."""
    return "".join(f"/{str(part).replace('~', '~0').replace('/', '~1')}" for part in loc)


def _words(kind: str, message: str) -> str:
    if kind in {"model_type", "model_attributes_type", "dict_type"}:  # pydantic's message names our classes
        return "Must be a JSON object."
    return message.removeprefix("Value error, ")

"""Bodies: JSON within limits, validated by models. Errors name the place by pointer and never quote values."""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, NamedTuple, TypeVar
from uuid import UUID

import orjson
from pydantic import BaseModel, ValidationError

from taskyard.admission.field_faults import faults_of
from taskyard.catalogue.sizes import Size, has_many_digits, size_of
from taskyard.domain.faults import MAX_FAULTS
from taskyard.domain.messages import marked, message
from taskyard.lifecycle.batch import MAX_DEPTH, Unstorable, check_storable

from .heavy import HeavyWork
from .refusals import Fault, Invalid, Malformed, UnsupportedMedia
from .requests import Request, RequestContext
from .room import Room

KIB, MIB = 1024, 1024**2
MAX_BODY = MIB
MAX_BATCH_BODY = 16 * MIB

# The memory that bodies may need together, beside that of the service at rest: what is stated in docs/operations.md.
READ_BYTES, SMALL_BYTES, LARGE_BYTES = 48 * MIB, 48 * MIB, 160 * MIB
_SMALL_PLACE = MIB
# Brackets, braces, commas and colons, wherever they stand: a batch of 1,000 tasks with 200 parameters each has 409,000.
MAX_VALUES = 500_000
_TOO_MANY_VALUES = message(
    "The body may have {limit} brackets, braces, commas and colons at most: send it in parts.", limit=MAX_VALUES
)
# What defaults add to a body's tasks: bytes, with 16 for each value. What is added to a small body needs no place.
ADDED_BYTES = 48 * MIB
ADDED_AT_REST = 64 * KIB
MAX_ADDED = 8 * MIB  # 1,000 tasks with 200 defaults each
_BYTES_AN_ADDED = 6
# Measured with orjson 3.11 in CPython 3.11: objects of one name need 111 bytes for each brace, colon and comma.
_BYTES_A_VALUE = 128
# The statement's parameter: as JSON, as text, and as what is sent.
_BYTES_TO_WRITE = 4
# Parsing and checking more may take the event loop's time for more than a few milliseconds.
_ON_THE_LOOP = Size(bytes=32 * KIB, values=2_000)

M = TypeVar("M", bound=BaseModel)
T = TypeVar("T")

_IMPOSSIBLE = 1 << 40
# What orjson says of bodies that the grammar of JSON allows, or nearly.
_NOT_JSON = marked("The body is not JSON: line {line}, column {column}.")
_HALF_A_PAIR = marked(
    "The body has half of a surrogate pair (\\ud800 to \\udfff), which is no text: line {line}, column {column}."
)
_WORDS_OF_ORJSON = {
    "number is infinity": marked(
        "The body has a number that is out of range, beyond 64 bits: line {line}, column {column}."
    ),
    "depth limit exceeded": marked("The body is nested deeper than {levels} levels: line {line}, column {column}."),
    "no low surrogate": _HALF_A_PAIR,
    "invalid low surrogate": _HALF_A_PAIR,
    "invalid high surrogate": _HALF_A_PAIR,
    "UTF-8 byte order mark": marked("The body begins with a byte order mark: leave it out."),
    "str is not valid UTF-8": marked("The body is not in UTF-8."),  # orjson looks at the whole text first
}
# More digits than 64 bits hold: orjson would silently make a float of them.
# A text, with the colon behind it where it is a name; an integer of many digits; another number.
_TOKENS = re.compile(rb'"[^"]*"\s*(:)?|(-?[0-9]{19,}+)(?![.eE])|[0-9.eE+-]+')
_NAME, _INTEGER = 1, 2


class Body(NamedTuple):
    """A body that was parsed. `size` is at least its true size."""

    value: Any
    raw: bytes | bytearray
    size: Size
    caller: UUID
    heavy: HeavyWork
    reserve: Callable[[int], Awaitable[None]]
    """Takes memory for so many bytes that defaults add. Raises Overloaded."""

    @property
    def is_small(self) -> bool:
        return self.size.fits(_ON_THE_LOOP)

    async def work(self, call: Callable[[], T]) -> T:
        """The result of `call`, whose time depends on this body: off the event loop where the body is large."""
        return call() if self.is_small else await self.aside(call)

    async def aside(self, call: Callable[[], T]) -> T:
        """The result of `call`, off the event loop."""
        return await self.heavy.run(self.caller, call)


class Bodies:
    """Reads bodies within the memory and the time that they may take."""

    def __init__(self, heavy: HeavyWork) -> None:
        self._heavy = heavy
        self._being_read = Room(READ_BYTES)
        self._small = Room(SMALL_BYTES)
        self._large = Room(LARGE_BYTES)
        self._added = Room(ADDED_BYTES)

    async def read(self, req: Request, *, limit: int = MAX_BODY) -> Body:
        """The body as JSON.

        Raises UnsupportedMedia, TooLarge, Malformed, Overloaded, and Invalid for what JSON allows and the ledger cannot
        hold.
        """
        _require_json(req)
        raw = req.whole_body(limit)
        return await self._parsed(req, await self._pieces(req, limit) if raw is None else raw)

    def read_at_once(self, context: RequestContext, raw: bytes) -> Body | None:
        """A small body, where there is memory for it at this moment; None where it is to be read by `read`. Raises
        Malformed, Invalid."""
        size, caller = size_of(raw), context.caller.key_id
        if not size.fits(_ON_THE_LOOP):
            return None
        place = self._small.take_at_once(caller, _memory_of(raw, size))
        if place is None:
            return None
        context.places.append(place)
        return Body(parse_json(raw), raw, size, caller, self._heavy, partial(self._reserve, context))

    async def read_nothing(self, req: Request) -> bytes | bytearray:
        """For calls that take no body: none, or an empty object. Raises Invalid, Malformed, TooLarge, Overloaded."""
        whole = req.whole_body(MAX_BODY)
        raw = await self._pieces(req, MAX_BODY) if whole is None else whole
        if raw and not raw.isspace() and (await self._parsed(req, raw)).value != {}:
            raise Invalid([Fault("", message("This call takes no body."))])
        return raw

    async def read_if_any(self, req: Request) -> Body:
        """Like `read`; no body is an empty object."""
        whole = req.whole_body(MAX_BODY)
        raw = await self._pieces(req, MAX_BODY) if whole is None else whole
        if raw:
            _require_json(req)
        return await self._parsed(req, raw or b"{}")

    async def nothing(self, req: Request) -> Body:
        """Likewise, as an empty object: for calls that take no body and submit a task."""
        await self.read_nothing(req)
        return await self._parsed(req, b"{}")

    async def _pieces(self, req: Request, limit: int) -> bytearray:
        context = req.context
        context.places.append(await self._being_read.take(context.caller.key_id, req.expected_bytes(limit)))
        return await req.body(limit)

    async def _parsed(self, req: Request, raw: bytes | bytearray) -> Body:
        size, context = size_of(raw), req.context
        if size.values > MAX_VALUES:
            raise Invalid([Fault("", _TOO_MANY_VALUES, "too_many_values")])
        caller, needed = context.caller.key_id, _memory_of(raw, size)
        room = self._small if needed <= _SMALL_PLACE else self._large
        context.places.append(room.take_at_once(caller, needed) or await room.take(caller, needed))
        if size.fits(_ON_THE_LOOP):
            value = parse_json(raw)
        else:
            value = await self._heavy.run(caller, partial(parse_json, raw))
        return Body(value, raw, size, caller, self._heavy, partial(self._reserve, context))

    async def _reserve(self, context: RequestContext, added: int) -> None:
        context.places.append(await self._added.take(context.caller.key_id, _BYTES_AN_ADDED * added))


def _memory_of(raw: bytes | bytearray, size: Size) -> int:
    """What the values of a body need at most, with the statement that writes them."""
    # One character beyond the 16-bit plane makes four bytes of each character of its text.
    a_character = 1 if raw.isascii() and b"\\u" not in raw else 4
    return (a_character + _BYTES_TO_WRITE) * size.bytes + _BYTES_A_VALUE * size.values


def parse_json(body: bytes | bytearray) -> Any:
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as e:
        # Without the text around the error: it may be a secret.
        if not body:
            raise Malformed(message("There is no body: send JSON.")) from None
        fault = next((told for start, told in _WORDS_OF_ORJSON.items() if e.msg.startswith(start)), _NOT_JSON)
        raise Malformed(message(fault, line=e.lineno, column=e.colno, levels=MAX_DEPTH)) from None
    # The cheap test first, because every submit passes here. Fewer names than colons: there is a colon in some
    # string, or a name occurs twice in an object.
    names = _count_names(value, MAX_DEPTH)
    if b"\\u0000" in body or has_many_digits(body) or body.count(b":") != names:
        _check_thoroughly(value, body, names)
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


def _check_thoroughly(value: Any, body: bytes | bytearray, names: int) -> None:
    try:
        check_storable(value)  # first: the standard library's parser follows deep nesting down the C stack
        # Without escapes, each text ends at the next quotation mark.
        plain = body.replace(b"\\\\", b"").replace(b'\\"', b"")
        found, too_large = 0, False
        for token in _TOKENS.finditer(plain):
            found += token.lastindex == _NAME
            too_large = too_large or (token.lastindex == _INTEGER and not _is_storable(token[_INTEGER]))
        if found != names:
            raise Malformed(message("An object of the body has a name twice."))
        if too_large:
            check_storable(json.loads(body, parse_int=_integer))  # finds the place
    except Unstorable as e:
        raise Invalid([Fault(e.pointer, e.sentence)]) from None


def _integer(digits: str) -> int:
    """Python reads no more than 4,300 digits; whatever is that long is out of range."""
    return int(digits[:40])


def _is_storable(integer: bytes) -> bool:
    return len(integer) <= 20 and -(2**63) <= int(integer) < 2**64


def _require_json(req: Request) -> None:
    given = req.header(b"content-type")
    if given != b"application/json":
        media, _, options = (given or b"").decode("latin-1").lower().partition(";")
        charset = options.replace(" ", "").replace('"', "")
        if media.strip() != "application/json" or (charset and charset != "charset=utf-8"):
            raise UnsupportedMedia(message("Send the body as application/json, in UTF-8."))
    if req.header(b"content-encoding") not in {None, b"identity"}:
        raise UnsupportedMedia(message("Send the body without a Content-Encoding."))


def validated(model: type[M], value: Any) -> M:
    """Raises Invalid."""
    try:
        return model.model_validate(value)
    except ValidationError as e:
        raise Invalid(faults_of(e)) from None


def each_validated(model: type[M], values: Sequence[Any], prefix: str) -> list[M]:
    """One after the other: of a list of models, pydantic would gather the faults of all. Raises Invalid."""
    made: list[M] = []
    faults: list[Fault] = []
    for n, value in enumerate(values):
        try:
            made.append(model.model_validate(value))
        except ValidationError as e:
            faults += faults_of(e, f"{prefix}/{n}")
            if len(faults) >= MAX_FAULTS:
                break
    if faults:
        raise Invalid(faults[:MAX_FAULTS])
    return made

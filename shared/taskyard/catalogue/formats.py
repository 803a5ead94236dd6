"""The named formats of schemas: checks of texts, each bounded by length first.

Admission and Pydantic use the same functions, so that what admission accepts the worker's model reads: `EmailAddress`,
`OneLine` and `PatternText` are types for parameter models. What Pydantic's own types take (UUID, datetime, HttpUrl and
so on) is checked by Pydantic's validators. A format that is not in FORMATS is left to jsonschema-rs, or ignored.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any
from uuid import UUID

from pydantic import Field, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, SchemaValidator, ValidationError, core_schema

from ..domain.messages import Message, message, message_of
from .addresses import checked_address, checked_line
from .patterns import MAX_LENGTH, PatternRefused, check_pattern

_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_OFFSET = r"(?:[Zz]|[+-][0-9]{2}:[0-9]{2})"
_DATE = r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
_TIME = r"[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?"
_DECIMAL = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)")


@dataclass(frozen=True, slots=True)
class Format:
    """`check` raises ValueError with a message. `sentence` is told where the check has none of its own. `max_bytes` is
    for formats of texts beyond ASCII; the others have as many bytes as characters."""

    check: Callable[[str], object]
    sentence: Message
    max_length: int
    tells: bool = False
    max_bytes: int | None = None

    def fits(self, text: str) -> bool:
        return self.fault(text) is None

    def fault(self, text: str) -> Message | None:
        """Why the text does not have the format, without quoting it; None where it has."""
        if len(text) > self.max_length:
            return message("Must have at most {limit} characters.", limit=self.max_length)
        most = self.max_bytes or self.max_length
        if not text.isascii() and len(text.encode(errors="surrogatepass")) > most:
            return message("Must have at most {limit} bytes.", limit=most)
        try:
            self.check(text)
        except ValueError as e:
            return message_of(e) if self.tells else self.sentence
        return None


def checked_pattern(text: str) -> str:
    """The text, where it is a regular expression that RE2 takes. Raises ValueError, which does not quote it."""
    try:
        check_pattern(text)
    except PatternRefused as e:
        told = e.sentence
        if "reason" in told.values:  # RE2 says what is wrong, then quotes: `missing ): a(b`
            reason = str(told.values["reason"]).partition(": ")[0]
            told = message("Not a regular expression as RE2 takes them: {reason}.", reason=reason)
        raise ValueError(told) from None
    return text


class Named:
    """Marks a text of a Pydantic model with one of FORMATS, in validation and in the schema."""

    def __init__(self, name: str, check: Callable[[str], str]) -> None:
        self._name = name
        self._check = check

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._check, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {**handler(schema), "format": self._name}


_MAX_ADDRESS, _MAX_LINE = 320, 10_000
EmailAddress = Annotated[str, Field(max_length=_MAX_ADDRESS), Named("email", checked_address)]
OneLine = Annotated[str, Named("line", checked_line)]
PatternText = Annotated[str, Field(min_length=1, max_length=MAX_LENGTH), Named("re2", checked_pattern)]


def _as_pydantic(schema: CoreSchema, shape: str = ".*") -> Callable[[str], object]:
    read, shaped = SchemaValidator(schema).validate_python, re.compile(shape, re.DOTALL).fullmatch

    def check(text: str) -> object:
        if shaped(text) is None:
            raise ValueError
        try:
            return read(text)
        except ValidationError:
            raise ValueError from None

    return check


def _uuid(version: int | None = None) -> Format:
    def check(text: str) -> None:
        if _UUID.fullmatch(text) is None or (version is not None and UUID(text).version != version):
            raise ValueError

    example = "0193aaaa-0000-7000-8000-000000000000"
    told = message("Must be a UUID with its hyphens: {example}.", example=example)
    if version is not None:
        told = message(
            "Must be a UUID of version {version} with its hyphens: {example}.", version=version, example=example
        )
    return Format(check, told, 36)


def _decimal(text: str) -> None:
    if _DECIMAL.fullmatch(text) is None:
        raise ValueError
    try:
        Decimal(text)
    except InvalidOperation:
        raise ValueError from None


def _address(read: Callable[[str], object], told: Message) -> Format:
    return Format(read, told, 100)


_HTTP = core_schema.url_schema(allowed_schemes=["http", "https"], max_length=2083, strict=True)

FORMATS = {
    "email": Format(checked_address, message("Not a mail address."), _MAX_ADDRESS, tells=True),
    "idn-email": Format(checked_address, message("Not a mail address."), _MAX_ADDRESS, tells=True),
    "line": Format(
        checked_line,
        message("Must be one line without control characters."),
        _MAX_LINE,
        tells=True,
        max_bytes=4 * _MAX_LINE,
    ),
    "re2": Format(
        checked_pattern, message("Not a regular expression."), MAX_LENGTH, tells=True, max_bytes=4 * MAX_LENGTH
    ),
    "uuid": _uuid(),
    **{f"uuid{version}": _uuid(version) for version in range(1, 9)},
    "date-time": Format(
        _as_pydantic(core_schema.datetime_schema(), f"{_DATE}[Tt]{_TIME}{_OFFSET}"),
        message("Must be a time as in RFC 3339, with its offset: 2026-01-31T12:00:00Z."),
        40,
    ),
    "date": Format(_as_pydantic(core_schema.date_schema(), _DATE), message("Must be a date: 2026-01-31."), 10),
    "time": Format(
        _as_pydantic(core_schema.time_schema(), f"{_TIME}{_OFFSET}?"), message("Must be a time of day: 12:00:00."), 40
    ),
    "duration": Format(
        _as_pydantic(core_schema.timedelta_schema(), "-?P[0-9YMWDTHS.]+"), message("Must be a duration: PT1H30M."), 50
    ),
    "uri": Format(_as_pydantic(core_schema.url_schema(strict=True)), message("Must be a URL."), 8_192),
    "http-url": Format(_as_pydantic(_HTTP), message("Must be a URL that begins with http:// or https://."), 2_083),
    "decimal": Format(_decimal, message("Must be a decimal number: 12.50."), 100),
    "ipv4": _address(ipaddress.IPv4Address, message("Must be an IPv4 address.")),
    "ipv6": _address(ipaddress.IPv6Address, message("Must be an IPv6 address.")),
    "ipvanyaddress": _address(ipaddress.ip_address, message("Must be an IP address.")),
    "ipv4network": _address(ipaddress.IPv4Network, message("Must be an IPv4 network.")),
    "ipv6network": _address(ipaddress.IPv6Network, message("Must be an IPv6 network.")),
    "ipvanynetwork": _address(ipaddress.ip_network, message("Must be an IP network.")),
    "ipv4interface": _address(ipaddress.IPv4Interface, message("Must be an IPv4 address with its network.")),
    "ipv6interface": _address(ipaddress.IPv6Interface, message("Must be an IPv6 address with its network.")),
    "ipvanyinterface": _address(ipaddress.ip_interface, message("Must be an IP address with its network.")),
}

"""Task ids: UUIDv7 (RFC 9562), so that ids sort by the time they were made."""

from __future__ import annotations

from binascii import unhexlify
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from uuid import UUID, SafeUUID

from uuid_utils import uuid7

# Looked up once: access to an enum member costs more than making the id (Python 3.11).
_UNKNOWN = SafeUUID.unknown
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def new_id() -> UUID:
    """A new UUIDv7, greater than all before it in this process."""
    return _of_number(uuid7().int)


def read_id(text: str) -> UUID:
    """As `UUID(text)`, for less: 32 hexadecimal digits, or these with the dashes of `str(UUID)`. Raises ValueError."""
    digits = text.replace("-", "", 4) if text[8:24:5] == "----" else text
    if len(digits) != 32:
        raise ValueError(f"no id: {text[:40]!r}")
    # `int(digits, 16)` would read signs, spaces, underscores and the digits of other scripts, too.
    return _of_number(int.from_bytes(unhexlify(digits)))


def _of_number(number: int) -> UUID:
    made = object.__new__(UUID)
    object.__setattr__(made, "int", number)
    object.__setattr__(made, "is_safe", _UNKNOWN)
    return made


def child_id(parent_id: UUID, key: str) -> UUID:
    """The same UUIDv7 at each call, with the time of its parent's: it sorts beside it."""
    drawn = int.from_bytes(sha256(parent_id.bytes + key.encode()).digest()[:10])
    drawn = drawn & ~(0xF << 76) | 0x7 << 76  # the version
    drawn = drawn & ~(0x3 << 62) | 0x2 << 62  # the variant
    return UUID(int=parent_id.int >> 80 << 80 | drawn)


def made_at(task_id: UUID) -> datetime | None:
    """When an id was made, by the clock of its maker: callers may choose ids. None where it is no UUIDv7, or one of a
    time beyond the calendar."""
    if task_id.version != 7:
        return None
    try:
        return _EPOCH + timedelta(milliseconds=task_id.int >> 80)
    except OverflowError:
        return None


def earliest_id_at(moment: datetime) -> UUID:
    """The smallest UUIDv7 of that millisecond; turns a bound on time into a bound on the key."""
    milliseconds = max(0, (moment - _EPOCH) // timedelta(milliseconds=1))
    return UUID(int=(min(milliseconds, (1 << 48) - 1) << 80))

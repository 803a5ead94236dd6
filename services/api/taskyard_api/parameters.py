"""What a call says besides its body: ids in its path, query parameters, cursors of lists, the Range header."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar
from uuid import UUID

from pydantic import ValidationError

from taskyard.admission.bodies import ID
from taskyard.admission.field_faults import faults_of
from taskyard.domain.errors import NotFound
from taskyard.domain.messages import Message, message

from .models import Query
from .refusals import Fault, Invalid, RangeNotSatisfiable
from .requests import Request

# Of parameters and results, in a page of tasks; a single task may have more.
PAGE_BYTES = 1024 * 1024

Q = TypeVar("Q", bound=Query)

_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})", re.ASCII | re.IGNORECASE)


def id_in_path(text: str, missing: Message) -> UUID:
    """Raises NotFound with `missing` where this is not an id."""
    if ID.fullmatch(text) is None:
        raise NotFound(missing)
    return UUID(text)


def query_of(model: type[Q], req: Request) -> Q:
    """Raises Invalid; a fault's pointer is `?name`."""
    given: dict[str, object] = {}
    for name, value in req.params.items():
        if isinstance(value, list):
            raise Invalid([Fault(f"?{name}", message("Give it once."))])
        if "\x00" in value or "\ufffd" in value:
            raise Invalid([Fault(f"?{name}", message("This is not text in UTF-8 that can be stored."))])
        given[name] = value
    try:
        return model.model_validate(given)
    except ValidationError as e:
        faults = [Fault("?" + f.pointer.removeprefix("/").partition("/")[0], f.message) for f in faults_of(e)]
        raise Invalid(faults) from None


def read_cursor(cursor: str | None) -> UUID | None:
    """The id of the last item of the page before. Raises Invalid."""
    if cursor is None:
        return None
    try:
        return UUID(bytes=base64.b64decode(cursor + "==", altchars=b"-_", validate=True))
    except ValueError:
        raise Invalid([Fault("?cursor", message("This is not a cursor of this list."))]) from None


def cursor_at(item_id: UUID) -> str:
    return base64.urlsafe_b64encode(item_id.bytes).decode().rstrip("=")


def next_cursor(rows: Sequence[Mapping[Any, Any]], limit: int) -> str | None:
    """`rows` has one row more than `limit` where there is another page."""
    return cursor_at(rows[limit - 1]["id"]) if len(rows) > limit else None


def next_cursor_of_tasks(rows: Sequence[Mapping[Any, Any]], limit: int) -> str | None:
    """The same for tasks, of which a page may hold fewer than `limit`: they are bounded by bytes, too."""
    last = rows[min(limit, len(rows)) - 1] if rows else None
    return cursor_at(last["id"]) if last is not None and last["has_more"] else None


def wanted_range(header: str | None, size: int) -> tuple[int, int] | None:
    """The first and last byte of one range (RFC 9110, section 14), or None for the whole. As the RFC says, a malformed
    header and several ranges are ignored.

    Raises RangeNotSatisfiable.
    """
    match = _RANGE.fullmatch(header.strip()) if header else None
    if match is None or not (match[1] or match[2]):
        return None
    if not match[1]:  # the last n bytes
        length = int(match[2])
        if length == 0 or size == 0:
            raise RangeNotSatisfiable(size)
        return max(0, size - length), size - 1
    first = int(match[1])
    last = min(int(match[2]), size - 1) if match[2] else size - 1
    if match[2] and int(match[2]) < first:
        return None
    if first >= size:
        raise RangeNotSatisfiable(size)
    return first, last

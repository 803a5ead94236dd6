"""Pages of records, as other systems answer with them: bounded, and read without a change."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from taskyard import TaskError
from taskyard.outbound.urls import MAX_URL, Url, read_url
from taskyard_kits.record_chunks import Chunk
from taskyard_kits.record_values import Unstorable, checked, key_of, read_json

from .declarations import MAX_PAGE_RECORDS, SyncParams

# A page in memory takes up to twenty times its bytes.
MAX_PAGE_BYTES = 4 * 1024 * 1024
MAX_CURSOR = 1_000

# RFC 8288. The parsers of httpx and requests divide quoted values, too: `title="; rel=next"` would be a next page.
_QUOTED = r'"(?:[^"\\]|\\.)*+"'
_LINK = re.compile(rf'<([^<>]*)>((?:[^<",]|{_QUOTED})*+)')
_PARAMETER = re.compile(rf';\s*([^\s=;"]++)(?:\s*=\s*({_QUOTED}|[^\s;"]*+))?|{_QUOTED}')


@dataclass(frozen=True, slots=True)
class Page:
    """`next` is the cursor of the page that follows, or its address; None on the last one. `bad`: items that become no
    record, by their numbers from 1, with one of `record_values.REASONS` each. `count` is of all items."""

    records: Chunk
    bad: list[tuple[int, str]]
    count: int
    next: str | None


def address_of(params: SyncParams, cursor: str | None) -> Url:
    """Of the page with this cursor; None: the first one. Raises TaskError."""
    try:
        first = read_url(str(params.url))
        if cursor is not None and params.paging == "link":
            return read_url(cursor)
        query = {} if params.page_size is None else {params.page_size_param: str(params.page_size)}
        if cursor is not None:
            query[params.cursor_param] = cursor
        separator = "&" if "?" in first.target else "?"
        return read_url(f"{first}{separator}{urlencode(query)}") if query else first
    except ValueError:
        raise TaskError("sync_address", retryable=False) from None


def read(params: SyncParams, url: Url, body: bytes, headers: Mapping[str, str]) -> Page:
    """The page that the `url` answered with. Raises TaskError where it is none."""
    encoding = headers.get("content-encoding", "identity").strip().lower()
    if encoding not in {"", "identity"}:
        raise _invalid("encoding")  # none was asked for
    try:
        value = read_json(body)
    except Unstorable as e:
        raise _invalid(e.reason) from None
    items = value if isinstance(value, list) else _at(value, params.items_field)
    if not isinstance(items, list):
        raise _invalid("no_items")
    if len(items) > MAX_PAGE_RECORDS:
        raise too_large()
    records, bad = Chunk(), []
    for number, item in enumerate(items, 1):
        try:
            if not isinstance(item, dict):
                raise Unstorable("not_an_object")
            records.add(key_of(_at(item, params.key_field)), checked(item))
        except Unstorable as e:
            bad.append((number, e.reason))
    following = _linked(url, headers) if params.paging == "link" else _cursor(value, params.cursor_field)
    return Page(records, bad, len(items), following)


def too_large() -> TaskError:
    mebibytes = MAX_PAGE_BYTES // 1024**2
    return TaskError("sync_page_too_large", retryable=False, items=MAX_PAGE_RECORDS, limit=mebibytes)


def _cursor(value: Any, path: str) -> str | None:
    match _at(value, path):
        case None | "":
            return None
        case bool():
            raise _invalid("cursor")
        case int() as number:
            return str(number)
        case str() as text if len(text) <= MAX_CURSOR and text.isprintable():
            return text
    raise _invalid("cursor")


def _linked(url: Url, headers: Mapping[str, str]) -> str | None:
    """The target of rel="next", which has to have the same origin: the token goes there."""
    for target, parameters in _LINK.findall(headers.get("link", "")):
        relations = [value for name, value in _PARAMETER.findall(parameters) if name.lower() == "rel"]
        if relations and "next" in relations[0].strip('"').lower().split():  # others after the first are ignored
            try:
                found = url.redirected(target)
            except ValueError:
                raise _invalid("cursor") from None
            if found.origin != url.origin or len(str(found)) > MAX_URL:
                raise TaskError("sync_other_origin", retryable=False)
            return str(found)
    return None


def _at(value: Any, path: str) -> Any:
    for name in path.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _invalid(reason: str) -> TaskError:
    return TaskError("sync_page_invalid", retryable=False, reason={"phrase": f"page_{reason}"})

"""Forms as browsers send them."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import parse_qs

import falcon
import falcon.asgi

# The parameters of a task have 1 MiB at most; encoding for a form may triple them.
MAX_BYTES = 3 * 1024**2 + 64 * 1024
# A table's page has 200 rows at most.
MAX_FIELDS = 2_000


class Form:
    """The fields that were sent, in their order."""

    def __init__(self, fields: Mapping[str, list[str]] | None = None) -> None:
        self._fields = fields or {}

    def __contains__(self, name: str) -> bool:
        return name in self._fields

    def text(self, name: str, default: str = "") -> str:
        return self._fields.get(name, [default])[-1]

    def fields(self) -> list[tuple[str, str]]:
        return [(name, value) for name, values in self._fields.items() for value in values]

    def all(self, name: str) -> list[str]:
        return self._fields.get(name, [])


async def read_form(req: falcon.asgi.Request) -> Form:
    """Raises Falcon's errors for what is no form, or too large."""
    kind = (req.content_type or "").partition(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        raise falcon.HTTPUnsupportedMediaType(description="This address takes forms.")
    if (req.content_length or 0) > MAX_BYTES:
        raise falcon.HTTPContentTooLarge
    body = bytearray()
    async for piece in req.stream:
        body += piece
        if len(body) > MAX_BYTES:
            raise falcon.HTTPContentTooLarge
    try:
        fields = parse_qs(body.decode("ascii"), keep_blank_values=True, max_num_fields=MAX_FIELDS, errors="strict")
    except ValueError as e:
        raise falcon.HTTPBadRequest(description="This is not a form as browsers send it.") from e
    return Form(fields)

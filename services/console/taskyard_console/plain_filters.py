"""Filters that stand in a page's address."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

import falcon
import falcon.asgi

from .formats import moment_from

if TYPE_CHECKING:
    from .visits import Visit


def asked_of(req: falcon.asgi.Request, names: Collection[str]) -> dict[str, str]:
    """As they were typed; empty where they are not in the address."""
    return {name: (req.get_param(name) or "").strip() for name in names}


def for_the_api(asked: Mapping[str, str], visit: Visit, *, times: Collection[str] = ()) -> dict[str, Any]:
    """Without what is empty; `times` are in the reader's zone. Raises HTTPBadRequest for a time that is none."""
    return {name: _time(text, visit) if name in times else text for name, text in asked.items() if text}


def _time(text: str, visit: Visit) -> datetime | None:
    try:
        return moment_from(text, visit.zone)
    except ValueError:
        said = visit.words.gettext("This is not a time: %(text)s") % {"text": text[:40]}
        raise falcon.HTTPBadRequest(description=said) from None

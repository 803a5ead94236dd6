"""The console's routes, as the application has them, and what its pages read from their addresses."""

from __future__ import annotations

import re
from dataclasses import fields, is_dataclass
from typing import Any, cast

from taskyard_console.page import Page
from taskyard_console.pages import plain, signing_in
from taskyard_console.routes import page_routes, plain_routes, sign_in_routes

_NONE = cast("Any", None)
_ALL = {
    **plain_routes({}, plain.HealthReady(), _NONE),
    **sign_in_routes(object.__new__(signing_in.SignIn), _NONE, _NONE, cast("Any", object()), _NONE),
    **page_routes(_NONE, ""),
}


def _renders(page: object) -> bool:
    return is_dataclass(page) and "rendering" in {one.name for one in fields(page)}


_READ = {route: page for route, page in _ALL.items() if isinstance(page, Page) and hasattr(page, "on_get")}
# What is read, by whoever may; which of that are pages, and which are files or lead on.
READ = {route: type(page) for route, page in _READ.items()}
PAGES = {route for route, page in _READ.items() if _renders(page)}
_LEADS_ON = {"/tasks/find", "/workers/by-name/{name}"}
FILES = {route for route in page_routes(_NONE, "") if route in READ} - PAGES - _LEADS_ON
# What a form is sent to.
FORMS = {route: cast("type[Page]", type(page)) for route, page in _ALL.items() if hasattr(page, "on_post")}
# Every name of a filter, a place or an action.
ASKED = (
    *("name", "queue", "tag", "code", "state", "workflow_id", "parent_id", "schedule_id", "order", "within", "column"),
    *("created_after", "created_before", "after", "before", "cursor", "limit", "window", "log", "level", "attempt"),
    *("a", "b", "action", "undoes", "actor", "target", "worker", "step", "from", "next", "token", "type", "task"),
    *("worker_id", "operation_id", "id"),
)


def filled(route: str, value: str) -> str:
    """With `value` in the places of the address."""
    return re.sub(r"\{\w+\}", lambda _: value, route)


def route_of(path: str) -> str:
    """The route that answers `path`: one without placeholders before one with them."""
    known = FORMS.keys() | PAGES | FILES
    if path in known:
        return path
    return next((route for route in known if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", route), path)), "")

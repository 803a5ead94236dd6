"""The filters of the lists of tasks: as they stand in the address, as the API takes them, and as an operation does."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import falcon

from taskyard_client.errors import Invalid

from .columns import chosen
from .formats import moment_from

if TYPE_CHECKING:
    from .visits import Visit

LIVE = ("blocked", "scheduled", "queued", "running", "retrying")
# What can be retried beside dead letters.
CANCELLED = "cancelled"
STATES = (*LIVE, "succeeded", "failed", CANCELLED)
# As the API has them: text, and times in the reader's zone.
TEXTS = ("name", "queue", "tag", "workflow_id", "parent_id", "schedule_id", "worker_id", "order")
TIMES = ("created_after", "created_before")
OF_DEAD_LETTERS = ("name", "queue", "code")
TIMES_OF_DISCARDING = ("discarded_after", "discarded_before")
# Submitted within so long before now: unlike a time, it can be saved.
WITHIN = {"hour": timedelta(hours=1), "day": timedelta(days=1), "week": timedelta(days=7)}
# These orders list tasks of one state only.
_STATE_OF_ORDER = {"running_longest": "running", "waiting_longest": "queued"}
PAGE_SIZES = (50, 100, 200)

# What the filter of an operation has, by its action.
_OF_ALL = frozenset({"name", "queue", "created_after", "created_before", "operation_id"})
CONDITIONS = {
    "cancel": _OF_ALL | {"state", "tag", "workflow_id"},
    "retry": _OF_ALL | {"state", "code"},
    "discard": _OF_ALL | {"code"},
    "restore": _OF_ALL | {"code", *TIMES_OF_DISCARDING},
}


def asked_of_tasks(req: falcon.asgi.Request) -> dict[str, Any]:
    """The filters of the list of tasks, as they were typed."""
    states = [state for state in req.get_param_as_list("state", default=[]) if state in STATES]
    return {
        "state": states,
        **_typed(req, (*TEXTS, *TIMES)),
        "within": _one_of(req, "within", WITHIN),
        "column": chosen(req.get_param_as_list("column", default=[])),
        "limit": _limit(req),
    }


def asked_of_dead_letters(req: falcon.asgi.Request) -> dict[str, Any]:
    """Those of the list of dead letters. `discarded` is `yes`, or empty."""
    return {
        **_typed(req, (*OF_DEAD_LETTERS, *TIMES)),
        "within": _one_of(req, "within", WITHIN),
        "discarded": "yes" if req.get_param("discarded") == "yes" else "",
        "limit": _limit(req),
    }


def for_api(asked: Mapping[str, Any], visit: Visit) -> dict[str, Any]:
    """What is empty is not asked for. Raises HTTPBadRequest for a time that is none."""
    texts = {*TEXTS, *OF_DEAD_LETTERS, "operation_id"}
    found: dict[str, Any] = {name: value for name, value in asked.items() if name in texts and value}
    if asked.get("state"):
        found["state"] = asked["state"]
    if asked.get("discarded"):
        found["discarded"] = True
    if within := WITHIN.get(asked.get("within", "")):
        found["created_after"] = datetime.now(UTC) - within
    for name in (*TIMES, *TIMES_OF_DISCARDING):
        if (at := _moment(asked.get(name, ""), visit)) is not None:
            found[name] = at
    return found


def states_shown(asked: Mapping[str, Any]) -> list[str]:
    """Those of the tasks in the list; none: all."""
    state = _STATE_OF_ORDER.get(asked["order"])
    return [state] if state else list(asked["state"])


def conditions_of(action: str, asked: Mapping[str, Any], visit: Visit) -> tuple[dict[str, Any], list[str]]:
    """The conditions of an operation, and the names of those filters that it has not. A filter of none fits all that
    was submitted before now. Raises HTTPBadRequest."""
    given = for_api(asked, visit)
    given.pop("discarded", None)
    if state := _STATE_OF_ORDER.get(given.pop("order", "")):
        given["state"] = [state]
    if action == "cancel" and "state" in given:
        given["state"] = [state for state in given["state"] if state in LIVE]
    elif given.get("state") == ["failed"]:  # which all dead letters are
        del given["state"]
    known = CONDITIONS[action]
    if action == "retry" and given.get("state", [CANCELLED]) != [CANCELLED]:
        known -= {"state"}
    unknown = sorted(given.keys() - known)
    conditions = {name: value for name, value in given.items() if name in known}
    return conditions or {"created_before": datetime.now(UTC)}, unknown


def faults_of(error: Invalid | falcon.HTTPBadRequest) -> list[tuple[str, str]]:
    """What is wrong with filters, by their names."""
    if isinstance(error, Invalid):
        return [(pointer.removeprefix("?"), said) for pointer, said in error.errors] or [("", str(error.args[0]))]
    return [("", str(error.description))]


def _typed(req: falcon.asgi.Request, names: tuple[str, ...]) -> dict[str, str]:
    return {name: (req.get_param(name) or "").strip() for name in names}


def _one_of(req: falcon.asgi.Request, name: str, known: Mapping[str, object]) -> str:
    given = req.get_param(name) or ""
    return given if given in known else ""


def _limit(req: falcon.asgi.Request) -> int:
    given = req.get_param("limit") or ""
    return next((size for size in PAGE_SIZES if str(size) == given), PAGE_SIZES[0])


def _moment(text: str, visit: Visit) -> datetime | None:
    try:
        return moment_from(text, visit.zone)
    except ValueError:
        said = visit.words.gettext("This is not a time: %(text)s") % {"text": text[:40]}
        raise falcon.HTTPBadRequest(description=said) from None

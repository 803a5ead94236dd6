"""Specs in the place of those of the selection kit, so that tests of the calls do not depend on what the kit takes."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy import Engine

from taskyard.catalogue.spec import TaskSpec
from taskyard.store.selection_runs import Kind
from tests.support.specs import register_worker, spec_named

QUEUES = ("default", "selection")
IN_ENGLISH = "The quotas need 12 people, and 9 have signed up. Lower them."
IN_GERMAN = "Die Quoten brauchen 12 Personen, angemeldet sind 9. Senken Sie sie."


def _fields(required: bool, **fields: Any) -> dict[str, Any]:
    closed: dict[str, Any] = {"type": "object", "properties": fields, "additionalProperties": False}
    return {**closed, "required": [*fields]} if required else closed


_ROWS = _fields(True, rows={"type": "array", "items": {"type": "object"}})
_TEXT = {"type": "string", "minLength": 1}
_PARAMS = {
    Kind.LOAD_GSHEET: _fields(True, gsheet_id=_TEXT, tab_name=_TEXT),
    Kind.RUN_SELECT: _fields(
        True,
        selection_params=_fields(True, number_to_select={"type": "integer", "minimum": 1}),
        feature_data=_ROWS,
        quota_data=_ROWS,
    ),
    Kind.MANAGE_OLD_TABS: _fields(True, gsheet_id=_TEXT, action={"enum": ["archive", "delete"]}),
}
BODIES: dict[Kind, dict[str, Any]] = {
    Kind.LOAD_GSHEET: {"gsheet_id": "sheet", "tab_name": "people"},
    Kind.RUN_SELECT: {
        "selection_params": {"number_to_select": 2},
        "feature_data": {"rows": [{"id": "1"}]},
        "quota_data": {"rows": []},
    },
    Kind.MANAGE_OLD_TABS: {"gsheet_id": "sheet", "action": "archive"},
}


def spec_of(kind: Kind) -> TaskSpec:
    words = {
        "en": "The quotas need {needed} people, and {found} have signed up. Lower them.",
        "de": "Die Quoten brauchen {needed} Personen, angemeldet sind {found}. Senken Sie sie.",
    }
    return spec_named(
        kind.task_type,
        queue="selection",
        params=_PARAMS[kind],
        result={"type": "object"},
        errors={"quotas_infeasible": {"words": words}},
    )


def register(engine: Engine, *kinds: Kind) -> UUID:
    """A worker of the default queue and of `selection` that has registered the types of these kinds; of all three where
    none is given."""
    return register_worker(engine, *map(spec_of, kinds or Kind), queues=QUEUES)

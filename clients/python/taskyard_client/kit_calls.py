"""The calls of users, selection runs, usage, records and conversions, as data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from .calls import Call, id_of, keyed, query_of
from .kit_models import Analytics, Conversion, Models, Record, SelectionRun, Submitted, UsageTaken, User
from .options import encoded
from .pages import Page

_JSON = {"Content-Type": "application/json"}


def user(user_id: int) -> Call[User]:
    return Call(User, "GET", f"users/{int(user_id)}")


def put_user(user_id: int, email: str, name: str, webhook_endpoint_id: UUID | str | None) -> Call[User]:
    fields = {"email": email, "name": name, "webhook_endpoint_id": webhook_endpoint_id}
    return Call(User, "PUT", f"users/{int(user_id)}", headers=_JSON, body=encoded(fields))


def erase_user(user_id: int, *, dry_run: bool) -> Call[Submitted]:
    """Erasing twice does it once; the second task finds nothing."""
    return Call(Submitted, "DELETE", f"users/{int(user_id)}", {"dry_run": dry_run})


def send_welcome(user_id: int) -> Call[Submitted]:
    return keyed(Submitted, "send-welcome", {"user_id": user_id})


def selection_runs(filters: Mapping[str, Any], cursor: str | None) -> Call[Page[SelectionRun]]:
    return Call(Page[SelectionRun], "GET", "selection-runs", query_of(filters, cursor))


def selection_run(run_id: UUID | str) -> Call[SelectionRun]:
    return Call(SelectionRun, "GET", f"selection-runs/{id_of(run_id)}")


def start_selection_run(kind: str, fields: Mapping[str, Any], key: str | None) -> Call[SelectionRun]:
    return keyed(SelectionRun, "selection-runs", {"kind": kind, **fields}, key)


def report_usage(events: Sequence[Mapping[str, Any]], key: str | None) -> Call[UsageTaken]:
    return keyed(UsageTaken, "usage-events", {"events": list(events)}, key)


def analytics(start: datetime | None, end: datetime | None, by: str) -> Call[Analytics]:
    return Call(Analytics, "GET", "analytics", query_of({"from": start, "to": end, "by": by}, None))


def models() -> Call[Models]:
    return Call(Models, "GET", "models")


def records(collection: str, filters: Mapping[str, Any], cursor: str | None) -> Call[Page[Record]]:
    return Call(Page[Record], "GET", "records", query_of({"collection": collection, **filters}, cursor))


def thumbnail(item_id: UUID | str, width: int, height: int) -> Call[Submitted]:
    return keyed(Submitted, f"tree-items/{id_of(item_id)}/thumbnail", {"width": width, "height": height})


def convert(item_id: UUID | str, by: Mapping[str, Any]) -> Call[Submitted]:
    return keyed(Submitted, f"tree-items/{id_of(item_id)}/convert-to-geo-raster", by)


def conversion(item_id: UUID | str) -> Call[Conversion]:
    return Call(Conversion, "GET", f"tree-items/{id_of(item_id)}/conversion-status")

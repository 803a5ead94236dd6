"""Records: the query and the answer, beside models.py and answers.py."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import Field

from taskyard.admission.bodies import Whole
from taskyard.store.records import COLLECTION, MAX_KEY_BYTES

from .answers import Page, Shown
from .models import Query

# Of a key, in base64 without padding.
_MAX_CURSOR = (MAX_KEY_BYTES * 4 + 2) // 3


class RecordsQuery(Query):
    collection: str = Field(pattern=COLLECTION, description="What `files.import_data` and `data.sync` were given.")
    limit: Whole = Field(default=50, ge=1, le=200, description="A page ends earlier where it has more than 1 MiB.")
    cursor: str | None = Field(
        default=None, pattern=f"^[A-Za-z0-9_-]{{1,{_MAX_CURSOR}}}$", description="`next_cursor` of the page before."
    )


class Record(Shown):
    key: str
    data: Any
    task_id: UUID = Field(description="The task that wrote it last.")
    updated_at: datetime = Field(description="When its data changed.")


class RecordPage(Page[Record]):
    pass

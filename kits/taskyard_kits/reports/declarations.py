"""What reports.generate takes and returns."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field

from taskyard import Params, Result

MAX_DAYS = 366
# Rows of a table; what is beyond them is told as a number.
MAX_ROWS = 1_000

Language = Annotated[
    str, Field(pattern=r"^[A-Za-z]{2,3}([-_][A-Za-z0-9]{2,8})*$", max_length=35, examples=["en", "de-AT"])
]
Zone = Annotated[
    str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+)*$", max_length=64, examples=["Europe/Budapest"])
]


class GenerateParams(Params):
    report_type: Literal["tasks", "queues", "analytics"] = Field(
        description="`tasks`: by type, with failures; `queues`: by queue, and how full they are now; `analytics`:"
        " requests and the usage of models, in whole hours."
    )
    start: datetime | None = Field(
        default=None,
        alias="from",
        description="Tasks that were submitted from then on. By default seven days before `to`.",
    )
    end: datetime | None = Field(
        default=None, alias="to", description=f"By default now; {MAX_DAYS} days after `from` at most."
    )
    language: Language = Field(
        default="en", description="A language tag; English where there is no translation (en, de, fr, hu)."
    )
    timezone: Zone = Field(default="UTC", description="An IANA time zone: of all times, and of where days begin.")


class Generated(Result):
    """The PDF is a tree item: `GET /tree-items/{item_id}/content`."""

    status: Literal["complete", "partial"] = Field(
        description="`partial`: the soft limit was over before the report was stored, or PostgreSQL took too long for"
        " some parts. The PDF names the parts that are missing."
    )
    report_type: str
    item_id: UUID
    name: str
    content_type: str
    size: int

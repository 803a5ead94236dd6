"""What data.sync takes and returns."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, HttpUrl

from taskyard import Params, Result, Secret
from taskyard_kits.record_values import CollectionName

MAX_PAGE_RECORDS = 10_000
MAX_RECORDS = 1_000_000
FIRST_INVALID = 10

# Neither a name with a password nor a fragment: the task could not call it.
_PLAIN = "^[^/]*//[^/?#@]*([/?][^#]*)?$"

# Printable ASCII, as a header has it.
Token = Annotated[str, Field(pattern=r"^[!-~]+$", min_length=1, max_length=4_000)]
ParameterName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.\[\]-]{1,100}$")]
# The way to a value in the answer: names of fields, with dots between them.
FieldPath = Annotated[str, Field(pattern=r"^[A-Za-z0-9_$@-]{1,100}(\.[A-Za-z0-9_$@-]{1,100}){0,4}$")]


class SyncParams(Params):
    url: Annotated[HttpUrl, Field(max_length=1_500, json_schema_extra={"pattern": _PLAIN})] = Field(
        description="Of the first page, without a password and without a fragment."
    )
    collection: CollectionName
    key_field: FieldPath = Field(default="id", description="Of an item: its value is the key of the record.")
    items_field: FieldPath = Field(
        default="items", description="Of a page: its list of items. A page that is a list is the items itself."
    )
    paging: Literal["cursor", "link"] = Field(
        default="cursor",
        description="`cursor`: a page has the cursor of the next one in a field. `link`: it has the address of the next"
        ' one in the header Link, with rel="next" (RFC 8288).',
    )
    cursor_field: FieldPath = Field(default="next_cursor", description="Of a page; the last one has none, or null.")
    cursor_param: ParameterName = Field(default="cursor", description="Of the query, for the cursor.")
    page_size: Annotated[int, Field(ge=1, le=MAX_PAGE_RECORDS)] | None = Field(
        default=None, description="By default what the other system chooses."
    )
    page_size_param: ParameterName = Field(default="limit", description="Of the query.")
    token: Secret[Token] | None = Field(default=None, description="Sent as `Authorization: Bearer`.")
    full: bool = Field(
        default=False, description="Whether it begins with the first page, and not where the last sync ended."
    )
    max_records: Annotated[int, Field(ge=1, le=MAX_RECORDS)] = Field(
        default=100_000, description="With the page that reaches it the task ends; the next sync goes on there."
    )
    max_invalid_items: Annotated[int, Field(ge=0, le=MAX_RECORDS)] = Field(
        default=0,
        description="So many items that become no record are passed over. With the page that has more of them the task"
        " fails, and the page is not written.",
    )


class InvalidItem(Result):
    page: int = Field(description="Of those that the task has read, from 1.")
    item: int = Field(description="Of the page, from 1.")
    reason: str


class SyncResult(Result):
    """`records` is the sum of the four below it."""

    collection: str
    pages: int
    records: int
    inserted: int
    updated: int
    unchanged: int
    invalid: int
    invalid_items: list[InvalidItem] = Field(description="The first ten of them.")
    complete: bool = Field(description="False where max_records ended it, or 100,000 pages.")

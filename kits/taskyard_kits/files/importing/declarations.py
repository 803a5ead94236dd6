"""What files.import_data takes and returns."""

from __future__ import annotations

from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field

from taskyard import Params, Result
from taskyard_kits.record_values import CollectionName

from .columns import ColumnType
from .rows import MAX_COLUMN_NAME, MAX_COLUMNS

Format = Literal["csv", "jsonl", "xlsx"]
ColumnName = Annotated[str, Field(min_length=1, max_length=MAX_COLUMN_NAME)]

FIRST_INVALID = 10
MOST_INVALID = 1_000_000


class ImportDataParams(Params):
    item_id: UUID
    collection: CollectionName
    format: Format | None = Field(default=None, description="By default what the name of the item ends with.")
    key_column: ColumnName | None = Field(
        default=None,
        description="Its values are the keys of the records: a row with a key that is there replaces the record."
        " Without it the key is the item's id with the number of the row, so that the same file imported twice gives"
        " the same records.",
    )
    columns: dict[ColumnName, ColumnType] = Field(
        default={},
        max_length=MAX_COLUMNS,
        description="Types of columns, by name. Cells of others stay as they are: text in CSV, and what JSON Lines and"
        " Excel say they are.",
        examples=[{"age": "integer"}],
    )
    header: bool = Field(
        default=True,
        description="Whether the first row of CSV or Excel names the columns; otherwise they are column_1 and so on.",
    )
    delimiter: Literal[",", ";", "\t", "|"] | None = Field(
        default=None, description="Of CSV; by default a comma, and a tab where the name of the item ends with .tsv."
    )
    sheet: Annotated[str, Field(min_length=1, max_length=31)] | None = Field(
        default=None, description="Of an Excel file; by default the first one."
    )
    max_invalid_rows: Annotated[int, Field(ge=0, le=MOST_INVALID)] = Field(
        default=100, description="With more invalid rows than these the task fails; what it has written stays."
    )


class InvalidRow(Result):
    row: int = Field(description="The line or row on which it begins, from 1.")
    reason: str
    column: str | None = None


class ImportDataResult(Result):
    """`rows` is the sum of the four below it. Of rows with the same key the last one counts."""

    collection: str
    rows: int
    inserted: int
    updated: int
    unchanged: int
    invalid: int
    invalid_rows: list[InvalidRow] = Field(description="The first ten of them.")

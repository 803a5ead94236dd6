"""What selection.* take and return."""

from __future__ import annotations

from typing import Annotated, Literal, Self
from uuid import UUID

from pydantic import AfterValidator, ConfigDict, Field, JsonValue, model_validator

from taskyard import Params, Result
from taskyard.catalogue.formats import OneLine

TabAction = Literal["list", "archive", "delete"]
Algorithm = Literal["maximin", "leximin", "nash", "diversimax", "legacy"]
# The library seeds Python's `random`; 0 means "no seed" to it.
MAX_SEED = 2**31 - 1
MAX_COLUMNS = 200
MAX_PANEL = 10_000
MAX_INLINE_ROWS = 10_000

# Headers are stripped, too.
Column = Annotated[OneLine, Field(min_length=1, max_length=200), AfterValidator(str.strip)]
Columns = Annotated[list[Column], Field(max_length=MAX_COLUMNS)]
Cell = str | int | float | None
GsheetId = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+$", max_length=200)]
TabName = Annotated[OneLine, Field(min_length=1, max_length=100)]

_SOURCE_FIELDS = {"item_id": ("item_id",), "rows": ("rows",), "gsheet_id": ("gsheet_id", "tab_name")}
_ONE_SOURCE = "give one source: item_id, or rows, or gsheet_id with tab_name"


def _only(given: tuple[str, ...]) -> JsonValue:
    there: dict[str, JsonValue] = {name: {"not": {"type": "null"}} for name in given}
    absent: dict[str, JsonValue] = {
        name: {"type": "null"} for names in _SOURCE_FIELDS.values() for name in names if name not in given
    }
    return {"required": list(given), "properties": {**there, **absent}}


class Source(Params):
    """A table: a stored CSV file, rows, or a tab of a Google spreadsheet."""

    model_config = ConfigDict(
        json_schema_extra={"anyOf": [_only(names) for names in _SOURCE_FIELDS.values()], "x-message": _ONE_SOURCE}
    )

    item_id: UUID | None = Field(default=None, description="A stored CSV file in UTF-8, its first line the header.")
    rows: Annotated[list[dict[str, Cell]], Field(min_length=1, max_length=MAX_INLINE_ROWS)] | None = Field(
        default=None, description="The rows, each with all columns by name. More than 256 KiB belongs into a file."
    )
    gsheet_id: GsheetId | None = Field(default=None, description="The id in the address of a Google spreadsheet.")
    tab_name: TabName | None = Field(default=None, description="The tab of the spreadsheet.")

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        given = tuple(name for names in _SOURCE_FIELDS.values() for name in names if getattr(self, name) is not None)
        if given not in _SOURCE_FIELDS.values():
            raise ValueError(_ONE_SOURCE)
        return self


class Output(Params):
    gsheet_id: GsheetId = Field(description="The spreadsheet that gets new tabs for the two lists.")


class SelectionParams(Params):
    """The settings of a draw. The names are those of the library's `Settings`."""

    number_to_select: Annotated[int, Field(ge=1, le=MAX_PANEL)]
    selection_algorithm: Algorithm = "maximin"
    id_column: Column = Field(description="The column of the people that holds an id, different in each row.")
    random_seed: Annotated[int, Field(ge=1, le=MAX_SEED)] | None = Field(
        default=None, description="The same seed draws the same panel. Without it, one is made and told in the result."
    )
    columns_to_keep: Columns | None = Field(
        default=None, description="Columns of both lists, beside the id and the features. Without it, all."
    )
    check_same_address: bool = Field(default=False, description="At most one person of an address is selected.")
    check_same_address_columns: Columns = Field(default=[], description="The columns that make an address.")
    max_attempts: Annotated[int, Field(ge=1, le=10_000)] = Field(
        default=100, description="How often the legacy algorithm tries."
    )
    max_seconds: Annotated[int, Field(ge=1, le=86_400)] = Field(
        default=30, description="How long the diversimax algorithm looks for a better panel."
    )
    solver_backend: Literal["highspy"] = "highspy"


class RunSelectParams(Params):
    selection_params: SelectionParams
    feature_data: Source = Field(description="The people with their features, a row each.")
    quota_data: Source = Field(
        description="The targets: columns feature (or category), value (or name), min and max; min_flex and max_flex"
        " say how far a proposed relaxation may go."
    )
    output: Output | None = Field(default=None, description="Where the lists go, beside two stored CSV files.")


class QuotaMet(Result):
    feature: str
    value: str
    min: int
    max: int
    selected: int


class RunSelectResult(Result):
    """The panel meets every quota. `remaining` are those who can still replace somebody: neither selected, nor, with
    `check_same_address`, at the address of a person who is."""

    selected_item_id: UUID | None = None
    remaining_item_id: UUID | None = None
    selected_tab: str | None = None
    remaining_tab: str | None = None
    report_item_id: UUID = Field(description="This result with the whole report as JSON.")
    selected_count: int
    remaining_count: int
    random_seed: int
    selection_algorithm: Algorithm = Field(description="The one that was used: leximin becomes maximin without Gurobi.")
    quotas: list[QuotaMet]
    report: list[str] = Field(description="The library's report; long ones are cut here and whole in the item.")


class LoadGsheetParams(Params):
    gsheet_id: GsheetId
    tab_name: TabName


class LoadGsheetResult(Result):
    item_id: UUID
    name: str
    rows: int
    columns: list[str]


class ManageOldTabsParams(Params):
    gsheet_id: GsheetId
    action: TabAction
    dry_run: bool = Field(default=True, description="Tells what would be done. With false, archive and delete do it.")

    @property
    def is_dry_run(self) -> bool:
        return self.dry_run or self.action == "list"


class ManageOldTabsResult(Result):
    action: TabAction
    dry_run: bool
    tabs: list[str] = Field(description="The tabs of earlier runs that this is about.")
    archived: list[str] = Field(description="The tabs in the archive, where those of an archiving are now.")
    changed: int = Field(description="How many tabs were archived or deleted.")

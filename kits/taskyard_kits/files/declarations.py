"""What the types of the files kit take and return."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from pydantic import Field

from taskyard import Params, Result
from taskyard.catalogue.formats import PatternText

MAX_SIDE = 4096
MAX_MATCHED_BYTES = 1024**2


class ProcessLargeFileParams(Params):
    item_id: UUID
    pattern: PatternText | None = Field(
        default=None,
        description="A regular expression in RE2's syntax (no backreferences, no lookaround; \\d, \\s and \\w mean"
        " ASCII, \\pL any letter) that is looked for in every line; anchor it with ^ and $ to match whole lines."
        " Lines longer than 1 MiB do not match.",
        examples=[r"^\S+ \d{3} "],
    )


class ProcessLargeFileResult(Result):
    """Lines end with a line feed; a last line without one counts, too.

    `wc -l` counts line feeds: it shows `processed_lines`, or one less where `last_line_unterminated`.
    """

    item_id: UUID
    processed_lines: int
    blank_lines: int = Field(description="Lines of nothing but white space (ASCII).")
    bytes: int
    invalid_lines: int = Field(
        description="Lines that are not UTF-8, or in which the pattern is not found (longer than 1 MiB: never)."
    )
    invalid_line_numbers: list[int] = Field(description="The first ten of them, counted from 1.")
    last_line_unterminated: bool = False


class GenerateThumbnailParams(Params):
    item_id: UUID
    width: Annotated[int, Field(ge=1, le=MAX_SIDE)] = 256
    height: Annotated[int, Field(ge=1, le=MAX_SIDE)] = 256


class GenerateThumbnailResult(Result):
    """The thumbnail fits into width x height, keeps the proportions, and is never larger than its source."""

    item_id: UUID
    parent_id: UUID
    name: str
    content_type: str
    width: int
    height: int
    size: int


class CleanupOldParams(Params):
    max_age_days: Annotated[float, Field(gt=0, le=36_500)] | None = Field(
        default=None, description="No less than FILE_CLEANUP_MAX_AGE_DAYS of the worker, which holds where it is null."
    )
    dry_run: bool = Field(default=False, description="Only count and name what would be deleted.")


class OldFilesCleaned(Result):
    dry_run: bool
    files: int = Field(description="That are deleted; dry_run: that would be.")
    bytes: int
    in_use: int = Field(description="Old ones that stay, because a waiting or running task names them.")
    names: list[str] = Field(description="Of the first twenty.")


class CleanupTemporaryParams(Params):
    dry_run: bool = Field(default=False, description="Only count what would be removed.")


class TemporaryFilesCleaned(Result):
    dry_run: bool
    temp_files_removed: int = Field(description="That are removed; dry_run: that would be.")

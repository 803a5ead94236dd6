"""What people are told of the errors of selection.*."""

from __future__ import annotations

from taskyard.catalogue.words import Words
from taskyard_kits.stored_files import ERRORS as STORED_FILE_ERRORS

from .draw_words import DRAW_ERRORS
from .library_words import LIBRARY_ERRORS
from .table_words import PHRASES, TABLE_ERRORS

__all__ = ["PHRASES", "RUN_SELECT_ERRORS"]

RUN_SELECT_ERRORS: dict[str, Words] = {**STORED_FILE_ERRORS, **TABLE_ERRORS, **LIBRARY_ERRORS, **DRAW_ERRORS}

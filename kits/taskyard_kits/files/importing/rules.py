"""Which errors of files.import_data are tried again: none of those that the file causes."""

from __future__ import annotations

from taskyard_kits.stored_files import FINAL

from .words import IMPORT_ERRORS

IMPORT_RULE = FINAL.of(*IMPORT_ERRORS)

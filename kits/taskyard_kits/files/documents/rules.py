"""Which errors of files.convert_document are tried again: none of those that the document causes."""

from __future__ import annotations

from taskyard_kits.stored_files import FINAL

from .words import DOCUMENT_ERRORS

DOCUMENT_RULE = FINAL.of(*DOCUMENT_ERRORS)

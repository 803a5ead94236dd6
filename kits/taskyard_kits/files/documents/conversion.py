"""Starts the process that makes the pages (`converter.py`), and sees to its end."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from taskyard.domain.errors import TaskError
from taskyard_kits import confined
from taskyard_kits.confined import Check, Died, TooMuch

from ..memory import MIB, Memory

# The renderer has all pages in memory: a page of text takes 1.5 MiB, one that is all table 6 MiB.
PROCESS_BYTES = 768 * MIB
MAX_PDF_BYTES = 128 * MIB
_CONVERTER = f"{__package__}.converter"


@dataclass(frozen=True, slots=True)
class Pages:
    """`left_out` counts by reason what could not be shown."""

    pdf: bytes
    count: int
    left_out: dict[str, int]


def convert(
    file: BinaryIO, kind: str, *, paper: str, language: str, title: str, memory: Memory, check: Check, temp_dir: Path
) -> Pages:
    """The pages of the document in `file`, which has a descriptor. `check` is called a few times a second and ends it
    by what it raises.

    Raises TaskError `document_too_large`, `document_too_deep`, `document_entities`, `document_encoding`,
    `document_damaged`; OSError where the file cannot be read.
    """
    with tempfile.TemporaryDirectory(dir=temp_dir) as directory, memory.share(PROCESS_BYTES, check) as size:
        options = (size, kind, directory, paper, language, title)
        with confined.started(_CONVERTER, *options, file=file, check=check) as program:
            try:
                made = _checked(program.answer())
                return Pages(program.rest(MAX_PDF_BYTES), made["pages"], made["left_out"])
            except (Died, TooMuch):  # the renderer ends its process where its memory is used up
                raise TaskError("document_too_large", retryable=False) from None


def _checked(answer: dict[str, Any]) -> dict[str, Any]:
    match answer:
        case {"error": "unreadable", "errno": number, "reason": reason}:
            raise OSError(number, reason)
        case {"error": code}:
            raise TaskError(code, retryable=False)
    return answer

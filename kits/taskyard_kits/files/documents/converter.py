"""Makes the pages of one document, in a process of its own: `converter FD BYTES KIND DIRECTORY PAPER LANGUAGE`.

On standard output a line of JSON, `{"pages": …, "left_out": {reason: count}}`, and behind it the PDF. Instead, at any
time: `{"error": code}`.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import warnings
from pathlib import Path
from typing import Any

# As many threads as there are processors would take memory for a stack each. Before the renderer looks.
os.environ["RAYON_NUM_THREADS"] = "2"

import typst
from defusedxml.common import DefusedXmlException
from PIL import Image

from taskyard_kits import process_limits as limits

from .. import memory_errors
from . import pictures, reading
from .blocks import Blocks
from .breaks import broken
from .pictures import Pictures

# Of the processor: 100 pages take two.
_SECONDS = 240
_PAGES = Path(__file__).with_name("pages.typ")


def main(fd: int, size: int, kind: str, directory: str, paper: str, language: str, title: str) -> None:
    limits.begin()
    Image.MAX_IMAGE_PIXELS = pictures.MAX_PIXELS
    warnings.simplefilter("ignore")
    limits.limit_memory(size)
    limits.lower(resource.RLIMIT_CPU, _SECONDS)
    try:
        with open(fd, "rb") as file:
            html = reading.READERS[kind](file)
        images = Pictures(Path(directory))
        blocks = Blocks(images.block)
        document = {"blocks": broken(blocks.read(html), paper), "paper": paper, "language": language, "title": title}
        del html
        pages, pdf = _printed(document, Path(directory))
    except Exception as e:  # noqa: BLE001 - the libraries tell of damaged files in many ways
        limits.lift_memory()  # nothing comes before
        limits.say(**_error(e))
    else:
        left_out = {**images.left_out, "columns": blocks.left_out_columns, "elements": blocks.left_out_elements}
        limits.say(pages=pages, left_out={reason: count for reason, count in left_out.items() if count})
        sys.stdout.buffer.write(pdf)
        sys.stdout.buffer.flush()


def _printed(document: dict[str, Any], directory: Path) -> tuple[int, bytes]:
    (directory / "document.json").write_text(json.dumps(document, ensure_ascii=False), encoding="utf-8")
    main = directory / "main.typ"
    main.write_bytes(_PAGES.read_bytes())
    # Packages are looked for where there are none.
    compiler = typst.Compiler(
        main,
        root=directory,
        ignore_system_fonts=True,
        package_path=directory / "none",
        package_cache_path=directory / "none",
    )
    pdf = compiler.compile(format="pdf", timestamp=0)
    assert isinstance(pdf, bytes)
    (page,) = json.loads(compiler.query("<pages>", field="value"))
    return int(page), pdf


def _error(error: Exception) -> dict[str, Any]:
    if memory_errors.is_used_up(error):
        return {"error": "document_too_large"}
    match error:
        case reading.TooLarge():
            return {"error": "document_too_large"}
        case reading.TooDeep():
            return {"error": "document_too_deep"}
        case DefusedXmlException():
            return {"error": "document_entities"}
        case UnicodeDecodeError():
            return {"error": "document_encoding"}
        case OSError() if error.errno is not None:
            return limits.unreadable(error)
        case _:
            return {"error": "document_damaged"}


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:])

"""What files.convert_document takes and returns."""

from __future__ import annotations

from typing import Literal
from uuid import UUID

from pydantic import Field

from taskyard import Params, Result

Format = Literal["markdown", "html", "docx"]


class ConvertDocumentParams(Params):
    item_id: UUID
    format: Format | None = Field(default=None, description="By default what the name of the item ends with.")
    paper: Literal["a4", "a5", "us-letter"] = "a4"
    language: Literal["en", "de", "fr", "hu"] = Field(
        default="en", description="Of the text: it says where words are hyphenated."
    )


class LeftOut(Result):
    """What the pages do not show; of an image, its text stands in its place. Not counted: letters that the fonts of the
    pages do not have, such as emoji or Chinese, and what DOCX has beside text, tables and images."""

    images_outside: int = Field(default=0, description="Images that do not lie in the document: nothing is fetched.")
    images_unreadable: int = Field(default=0, description="Images in other formats, such as SVG or EMF, or damaged.")
    images_too_large: int = Field(
        default=0, description="Images beyond 25 million pixels or 8 MiB, and those after the 200th."
    )
    columns: int = Field(default=0, description="Cells beyond the 40th column of a table.")
    elements: int = Field(
        default=0,
        description="Elements of HTML whose content is not shown: svg, math, noscript, object, iframe, audio, video,"
        " canvas, select, textarea, and one that is never closed.",
    )


class ConvertDocumentResult(Result):
    item_id: UUID = Field(description="The PDF.")
    parent_id: UUID
    name: str
    size: int
    pages: int | None = Field(description="Not known where an earlier attempt made the PDF.")
    left_out: LeftOut | None = Field(description="Not known where an earlier attempt made the PDF.")

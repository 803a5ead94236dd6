"""The pages of a PDF as a reader sees them: words and pixels."""

from __future__ import annotations

from dataclasses import dataclass

import pypdfium2
from PIL import Image


@dataclass(frozen=True)
class Page:
    """`image` has a pixel a point (1/72 inch)."""

    text: str
    image: Image.Image

    def pixels_of(self, color: str) -> int:
        """How many have this colour, as `#rrggbb`."""
        wanted = tuple(bytes.fromhex(color.removeprefix("#")))
        counted = self.image.getcolors(self.image.width * self.image.height)
        return sum(n for n, found in counted or () if found == wanted)


def pages_of(pdf: bytes) -> list[Page]:
    document = pypdfium2.PdfDocument(pdf)
    try:
        return [_page(document[n]) for n in range(len(document))]
    finally:
        document.close()


def _page(page: pypdfium2.PdfPage) -> Page:
    words = page.get_textpage()
    text = words.get_text_bounded().replace("\r\n", "\n")
    return Page(text, page.render().to_pil().convert("RGB"))

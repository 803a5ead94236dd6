"""Documents to convert, and what the pages show."""

from __future__ import annotations

import base64
import ctypes
import io
import zipfile
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import pypdfium2
from PIL import Image, ImageChops
from pypdfium2 import raw

_W = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
_R = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_RELS = "http://schemas.openxmlformats.org/package/2006/relationships"
_A = "http://schemas.openxmlformats.org/drawingml/2006/main"
_WP = "http://schemas.openxmlformats.org/drawingml/2006/wordprocessingDrawing"
_PIC = "http://schemas.openxmlformats.org/drawingml/2006/picture"
RED = (200, 0, 30)


def picture(kind: str = "PNG", size: tuple[int, int] = (60, 40), **options: Any) -> bytes:
    """One of a red that the pages have nowhere else."""
    file = io.BytesIO()
    Image.new("RGB", size, RED).save(file, kind, **options)
    return file.getvalue()


def data_uri(content: bytes, kind: str = "png") -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def drawing(relation: str, how: str = "embed") -> str:
    """The run of an image."""
    return (
        f'<w:r><w:drawing><wp:inline xmlns:wp="{_WP}"><wp:docPr id="1" name="a" descr="the picture"/>'
        f'<a:graphic xmlns:a="{_A}"><a:graphicData><pic:pic xmlns:pic="{_PIC}"><pic:blipFill>'
        f'<a:blip r:{how}="{relation}"/></pic:blipFill></pic:pic></a:graphicData></a:graphic>'
        "</wp:inline></w:drawing></w:r>"
    )


def docx(body: str, *, members: Mapping[str, bytes] | None = None, relations: str = "", doctype: str = "") -> bytes:
    """A document of Word with this body; paragraphs of the style Heading1 are headings."""
    parts = {
        "[Content_Types].xml": '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
        '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        '<Default Extension="png" ContentType="image/png"/><Default Extension="xml" ContentType="application/xml"/>'
        '<Override PartName="/word/document.xml" ContentType="application/vnd.openxmlformats-officedocument'
        '.wordprocessingml.document.main+xml"/></Types>',
        "_rels/.rels": f'<Relationships xmlns="{_RELS}"><Relationship Id="rId1" Type="{_R}/officeDocument"'
        ' Target="word/document.xml"/></Relationships>',
        "word/_rels/document.xml.rels": f'<Relationships xmlns="{_RELS}"><Relationship Id="rId9" Type="{_R}/styles"'
        f' Target="styles.xml"/>{relations}</Relationships>',
        "word/styles.xml": f'<w:styles xmlns:w="{_W}"><w:style w:type="paragraph" w:styleId="Cmsor1">'
        '<w:name w:val="heading 1"/></w:style></w:styles>',
        "word/document.xml": f'{doctype}<w:document xmlns:w="{_W}" xmlns:r="{_R}"><w:body>{body}</w:body></w:document>',
    }
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in parts.items():
            archive.writestr(name, text)
        for name, content in (members or {}).items():
            archive.writestr(name, content)
    return file.getvalue()


def relation(target: str, *, name: str = "rId1", kind: str = "image", is_external: bool = False) -> str:
    mode = ' TargetMode="External"' if is_external else ""
    return f'<Relationship Id="{name}" Type="{_R}/{kind}" Target="{target}"{mode}/>'


_UNSEEN = {*map(ord, " \r\n\u200b")}


class Pages:
    """The pages of a PDF: their words, their links, and how they look."""

    def __init__(self, pdf: bytes) -> None:
        self._document = pypdfium2.PdfDocument(pdf)

    def __len__(self) -> int:
        return len(self._document)

    def text(self, page: int = 0) -> str:
        return " ".join(self._document[page].get_textpage().get_text_range().split())

    def lines(self, page: int = 0) -> list[str]:
        return [line.strip() for line in self._document[page].get_textpage().get_text_range().splitlines()]

    def overlaps(self, page: int = 0) -> int:
        """How many letters begin well within the one before, on one line."""
        text = self._document[page].get_textpage()
        seen = [n for n in range(text.count_chars()) if raw.FPDFText_GetUnicode(text, n) not in _UNSEEN]
        boxes = sorted((round(bottom), left, right) for left, bottom, right, _ in map(text.get_charbox, seen))
        pairs = pairwise(boxes)
        return sum(one[0] == other[0] and other[1] < (one[1] + one[2]) / 2 for one, other in pairs)

    def image(self, page: int = 0) -> Image.Image:
        shown: Image.Image = self._document[page].render(scale=1.0).to_pil()
        return shown.convert("RGB")

    def inked(self, page: int = 0) -> tuple[int, int, int, int]:
        """The box of all that is not white, but for the page number."""
        image = self.image(page)
        found = image.crop((0, 0, image.width, image.height - 60)).point(lambda v: 0 if v > 250 else 255).getbbox()
        assert found is not None
        return found

    def count_of(self, color: tuple[int, int, int], page: int = 0, *, about: int = 12) -> int:
        """Pixels of about that colour."""
        near = [
            channel.point(lambda value, wanted=wanted: 255 if abs(value - wanted) <= about else 0)
            for channel, wanted in zip(self.image(page).split(), color, strict=True)
        ]
        return ImageChops.darker(ImageChops.darker(near[0], near[1]), near[2]).histogram()[255]

    def links(self) -> list[str]:
        found = []
        for page in self._document:
            for n in range(raw.FPDFPage_GetAnnotCount(page)):
                annotation = raw.FPDFPage_GetAnnot(page, n)
                link = raw.FPDFAnnot_GetLink(annotation)
                action = raw.FPDFLink_GetAction(link)
                size = raw.FPDFAction_GetURIPath(self._document, action, None, 0)
                buffer = ctypes.create_string_buffer(size)
                raw.FPDFAction_GetURIPath(self._document, action, buffer, size)
                found.append(buffer.value.decode())
        return found

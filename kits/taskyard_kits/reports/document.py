"""A report as a PDF: pages with a heading for each part, its chart and its table, and numbers at their feet."""

from __future__ import annotations

from functools import partial
from io import BytesIO
from typing import Any
from xml.sax.saxutils import escape  # nosec B406  # it writes XML, and reads none

from reportlab.lib.colors import HexColor, white
from reportlab.lib.enums import TA_RIGHT
from reportlab.lib.pagesizes import A4, landscape
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import CondPageBreak, Flowable, KeepTogether, LongTable, Paragraph, SimpleDocTemplate, Spacer

from . import charts
from .fonts import BOLD, PLAIN, drawable
from .languages import Language
from .parts import Column, Part, Report, Table

_PAGE = landscape(A4)
_MARGIN = 15 * mm
# The library's frame has a padding of its own.
_WIDTH = _PAGE[0] - 2 * _MARGIN - 2 * 6
_INK, _HEAD, _STRIPE, _WARNING = (HexColor(c) for c in ("#222222", "#E6ECF2", "#F6F8FA", "#FFF3CD"))
_FOOT_SIZE = 7.0

_BODY = ParagraphStyle("body", fontName=PLAIN, fontSize=8.5, leading=11.5, textColor=_INK)
_TITLE = ParagraphStyle("title", _BODY, fontName=BOLD, fontSize=20, leading=25)
_HEADING = ParagraphStyle("heading", _BODY, fontName=BOLD, fontSize=13, leading=18, spaceBefore=12, spaceAfter=4)
_NOTICE = ParagraphStyle("notice", _BODY, backColor=_WARNING, borderPadding=6, spaceBefore=10, spaceAfter=6)
_NOTE = ParagraphStyle("note", _BODY, fontSize=7.5, leading=10, textColor=HexColor("#555555"), spaceAfter=5)
_CELL = ParagraphStyle("cell", _BODY, fontSize=7.5, leading=9.5)
_COLUMN = ParagraphStyle("column", _CELL, fontName=BOLD)
_COLUMN_OF_NUMBERS = ParagraphStyle("column of numbers", _COLUMN, alignment=TA_RIGHT)

_TABLE: list[Any] = [
    ("FONT", (0, 0), (-1, -1), PLAIN, 7.5, 9.5),
    ("TEXTCOLOR", (0, 0), (-1, -1), _INK),
    ("VALIGN", (0, 0), (-1, -1), "TOP"),
    ("BACKGROUND", (0, 0), (-1, 0), _HEAD),
    ("ROWBACKGROUNDS", (0, 1), (-1, -1), [white, _STRIPE]),
    ("LEFTPADDING", (0, 0), (-1, -1), 4),
    ("RIGHTPADDING", (0, 0), (-1, -1), 4),
    ("TOPPADDING", (0, 0), (-1, -1), 2),
    ("BOTTOMPADDING", (0, 0), (-1, -1), 2.5),
]


def pdf_of(report: Report, language: Language) -> bytes:
    """The file. It takes a few seconds at most: tables have a thousand rows, and texts are bounded."""
    file = BytesIO()
    document = SimpleDocTemplate(
        file, pagesize=_PAGE, leftMargin=_MARGIN, rightMargin=_MARGIN, topMargin=_MARGIN, bottomMargin=_MARGIN,
        title=report.title, author="Taskyard", lang=language.tag,
    )  # fmt: skip
    flow: list[Flowable] = [_paragraph(report.title, _TITLE)]
    flow += [_paragraph(line, _BODY) for line in report.subtitles]
    if report.missing:
        flow.append(_paragraph(language.say("partial", missing=", ".join(report.missing)), _NOTICE))
    for part in report.parts:
        flow += _flow_of(part, language)
    document.build(flow, canvasmaker=partial(_Numbered, language=language))
    return file.getvalue()


def _flow_of(part: Part, language: Language) -> list[Flowable]:
    head: list[Flowable] = [_paragraph(part.title, _HEADING)]
    head += [_paragraph(note, _NOTE) for note in part.notes]
    if part.chart is not None:
        head += [charts.drawn(part.chart, _WIDTH, language), Spacer(0, 6)]
    flow: list[Flowable] = [KeepTogether(head)]
    if (table := part.table) is not None:
        flow += [CondPageBreak(20 * mm), _table(table)]
        if table.hidden:
            flow.append(_paragraph(language.say("more_rows", rows=language.number(table.hidden)), _NOTE))
    return flow


def _table(table: Table) -> LongTable:
    columns = table.columns
    whole = sum(column.share for column in columns)
    heads = [_paragraph(c.title, _COLUMN if c.is_text else _COLUMN_OF_NUMBERS) for c in columns]
    rows = [[_cell(text, column) for text, column in zip(row, columns, strict=True)] for row in table.rows]
    right = [("ALIGN", (n, 1), (n, -1), "RIGHT") for n, column in enumerate(columns) if not column.is_text]
    return LongTable(
        [heads, *rows],
        colWidths=[_WIDTH * column.share / whole for column in columns],
        repeatRows=1,
        style=[*_TABLE, *right],
    )


def _cell(text: str, column: Column) -> Any:
    return _paragraph(text, _CELL) if column.is_text else drawable(text)


def _paragraph(text: str, style: ParagraphStyle) -> Paragraph:
    """Text is no markup, whatever stands in it. A word that is longer than a line is broken."""
    return Paragraph(escape(drawable(text)), style)


class _Numbered(Canvas):
    """Keeps the pages until their number is known, which stands on each."""

    def __init__(self, *arguments: Any, language: Language, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._language = language
        self._kept: list[dict[str, Any]] = []

    def showPage(self) -> None:  # noqa: N802 - the library's name
        self._kept.append(dict(self.__dict__))
        self._startPage()  # type: ignore[attr-defined] # as ReportLab's own recipe for page numbers

    def save(self) -> None:
        kept = self._kept
        for number, page in enumerate(kept, 1):
            self.__dict__.update(page)
            self.setFont(PLAIN, _FOOT_SIZE)
            self.setFillColor(_INK)
            text = self._language.say("page", page=number, pages=len(kept))
            self.drawRightString(_PAGE[0] - _MARGIN - 6, _MARGIN / 2, text)
            super().showPage()
        super().save()

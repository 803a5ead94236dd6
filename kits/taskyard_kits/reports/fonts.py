"""The fonts of reports: DejaVu Sans, with Latin, Greek and Cyrillic letters. A PDF holds those that it uses."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont

PLAIN, BOLD = "DejaVuSans", "DejaVuSans-Bold"
_DIRECTORY = Path(__file__).parent / "fonts"
_UNKNOWN = "\N{REPLACEMENT CHARACTER}"
_ELLIPSIS = "\N{HORIZONTAL ELLIPSIS}"


@cache
def _letters() -> frozenset[int]:
    """Those that both fonts have. Registers the fonts: whatever is drawn asks here first."""
    fonts = [TTFont(name, _DIRECTORY / f"{name}.ttf") for name in (PLAIN, BOLD)]
    for font in fonts:
        pdfmetrics.registerFont(font)
    return frozenset(fonts[0].face.charToGlyph)


def drawable(text: str) -> str:
    """The text with a sign for each character that the fonts do not have: callers name models as they like."""
    letters = _letters()
    return "".join(c if ord(c) in letters else _UNKNOWN for c in text)


def width_of(text: str, size: float, font: str = PLAIN) -> float:
    _letters()
    return pdfmetrics.stringWidth(text, font, size)


def fitted(text: str, width: float, size: float) -> str:
    """The text, or as much of its begin and end as fits into the width: names often differ at the end only."""
    text = drawable(text)
    kept = len(text)
    while width_of(text, size) > width and kept > 2:
        kept = min(kept - 1, int(kept * width / width_of(text, size)) + 1)
        text = text[: (kept + 1) // 2].rstrip() + _ELLIPSIS + text[len(text) - kept // 2 :]
    return text

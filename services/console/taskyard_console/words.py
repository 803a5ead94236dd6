"""The reader's language: the words of the pages, from catalogues in gettext's format that need no compilation."""

from __future__ import annotations

import io
from collections.abc import Iterable
from pathlib import Path

from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.support import NullTranslations, Translations

ENGLISH = "en"
# As each names itself.
LANGUAGES = {ENGLISH: "English", "de": "Deutsch", "fr": "Français", "hu": "Magyar"}
LOCALE = Path(__file__).parent / "locale"
_MOST = 20


def read_catalogues() -> dict[str, NullTranslations]:
    """The translations of each language; those of English leave everything as it is."""
    return {language: _translations(language) for language in LANGUAGES}


def _translations(language: str) -> NullTranslations:
    if language == ENGLISH:
        return NullTranslations()
    with (LOCALE / f"{language}.po").open("rb") as file:
        catalogue = read_po(file, locale=language, abort_invalid=True)
    compiled = io.BytesIO()
    write_mo(compiled, catalogue)
    compiled.seek(0)
    return Translations(compiled)


def language_of(chosen: str | None, accept_language: str | None) -> str:
    """The language that the reader chose, else the one that the browser prefers of those there are."""
    if chosen in LANGUAGES:
        return chosen
    return next(
        (found for tag in _preferred(accept_language or "") if (found := tag.partition("-")[0]) in LANGUAGES), ENGLISH
    )


def _preferred(header: str) -> Iterable[str]:
    """Language tags of Accept-Language (RFC 9110, 12.5.4), best first."""
    liked: list[tuple[float, str]] = []
    for part in header.split(",", _MOST)[:_MOST]:
        tag, _, quality = part.partition(";q=")
        try:
            liked.append((float(quality or 1), tag.strip().lower()))
        except ValueError:
            continue
    return [tag for quality, tag in sorted(liked, key=lambda one: -one[0]) if quality > 0]

"""The words of the console: complete in every language, and with the same values."""

from __future__ import annotations

import re

import pytest
from babel.messages.pofile import read_po

from taskyard_console.words import LANGUAGES, LOCALE, language_of
from taskyard_dev.console_words import used

_VALUE = re.compile(r"%\(\w+\)s")
_BREAKS = re.compile(r" [;:!?»]|« ")


@pytest.mark.parametrize("language", [language for language in LANGUAGES if language != "en"])
def test_every_text_of_the_pages_is_translated_and_no_other(language: str) -> None:
    with (LOCALE / f"{language}.po").open("rb") as file:
        catalogue = read_po(file, locale=language, abort_invalid=True)
    texts = {(message.context, message.id) for message in used() if message.id}
    translated = {
        (message.context, message.id)
        for message in catalogue
        if message.id and all(_texts(message.string)) and not message.fuzzy
    }
    assert sorted(map(str, texts - translated)) == [], "make words, then translate"
    assert sorted(map(str, translated - texts)) == [], "make words"
    for message in catalogue:
        for told in _texts(message.string) if message.id else ():
            assert set(_VALUE.findall(told)) == set(_VALUE.findall(_texts(message.id)[0])), message.id


def test_no_line_of_french_ends_before_a_sign_that_has_a_space_in_front() -> None:
    with (LOCALE / "fr.po").open("rb") as file:
        catalogue = read_po(file, locale="fr", abort_invalid=True)
    plain = [told for message in catalogue if message.id for told in _texts(message.string) if _BREAKS.search(told)]
    assert plain == [], "make words"


def _texts(text: str | tuple[str, ...] | list[str] | None) -> tuple[str, ...]:
    return (text or "",) if isinstance(text, str | None) else tuple(text)


@pytest.mark.parametrize(
    ("chosen", "header", "language"),
    [
        (None, "de-AT,de;q=0.9,en;q=0.8", "de"),
        (None, "sv, fr;q=0.4, hu;q=0.7", "hu"),
        ("fr", "de", "fr"),
        ("xx", "de", "de"),
        (None, "sv", "en"),
        (None, "de;q=0, fr", "fr"),
        (None, "de;q=x", "en"),
        (None, None, "en"),
    ],
)
def test_the_reader_chooses_the_language_else_the_browser(
    chosen: str | None, header: str | None, language: str
) -> None:
    assert language_of(chosen, header) == language

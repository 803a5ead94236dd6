"""Failures in the reader's language: catalogues are complete, values survive, preferences are understood."""

from __future__ import annotations

import inspect
import re
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskyard.domain.explanations import EXPLANATIONS, PHRASES, explanation, values_in
from taskyard.lifecycle import promote, rescue
from taskyard.storage.local import WORDS
from taskyard_api.translation import ENGLISH, Words, preferred_language, read_catalogues

CATALOGUES = read_catalogues()
LANGUAGES = ("de", "fr", "hu")
AVAILABLE = (ENGLISH, *LANGUAGES)


def fields(template: str) -> list[str]:
    return sorted(name for _, name, _, _ in string.Formatter().parse(template) if name is not None)


def test_there_are_the_languages_that_are_promised() -> None:
    assert sorted(CATALOGUES) == sorted(LANGUAGES)


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_catalogue_says_everything_with_the_same_values_and_nothing_else(language: str) -> None:
    texts = CATALOGUES[language]
    assert set(texts) == {*EXPLANATIONS.values(), *PHRASES, *WORDS.values()}
    for english, translated in texts.items():
        assert fields(translated) == fields(english), english
        assert translated != english


def test_every_message_for_people_ends_as_a_sentence() -> None:
    for code, message in EXPLANATIONS.items():
        for text in (message, *(texts[message] for texts in CATALOGUES.values())):
            assert text.endswith((".", ": {reason}")), text
            assert text[0].isupper(), text
        assert code.islower()


def test_messages_in_sql_equal_the_templates() -> None:
    found = set()
    for module in (promote, rescue):
        # SQL concatenates string literals on two lines.
        source = re.sub(r"'\s*\n\s*'", "", inspect.getsource(module))
        for code in re.findall(r"'code', '(\w+)'", source):
            assert re.sub(r"\{\w+\}", "%s", EXPLANATIONS[code]) in source
            found.add(code)
    assert found == {"crash", "crash_limit", "crash_suspect", "expired"}


@pytest.mark.parametrize("code", EXPLANATIONS)
def test_values_can_be_parsed_out_of_the_text(code: str) -> None:
    values = {name: f"<{name}: {{x}}\n>" for name in fields(EXPLANATIONS[code])}
    assert values_in(code, explanation(code, **values)) == values


def test_a_tasks_own_message_is_not_translated() -> None:
    for code, message in (("expired", "Your voucher is too old."), ("smtp_refused", "The"), ("own", "Own words.")):
        error = {"code": code, "message": message}
        words = Words("de", CATALOGUES["de"])
        assert words.failure(error) == error
        assert not words.used


@pytest.mark.parametrize(
    ("header", "language"),
    [
        (None, "en"),
        ("", "en"),
        ("de", "de"),
        ("de-AT, en;q=0.5", "de"),
        ("FR-ca", "fr"),
        ("en, de", "en"),
        ("en;q=0.4, de;q=0.8", "de"),
        ("nl, hu;q=0.3", "hu"),
        ("nl", "en"),
        ("*", "en"),
        ("de;q=0", "en"),
        ("de;q=0, fr;q=0.1", "fr"),
        ("de;q=nonsense, fr;q=0.1", "fr"),
        ("hu , fr", "hu"),
        ("de;q=nan", "en"),
        (";;,,;q=1", "en"),
    ],
)
def test_the_readers_preferred_available_language_is_used(header: str | None, language: str) -> None:
    assert preferred_language(header, AVAILABLE) == language


@given(st.text())
def test_malformed_headers_still_give_an_available_language(header: str) -> None:
    assert preferred_language(header, AVAILABLE) in AVAILABLE

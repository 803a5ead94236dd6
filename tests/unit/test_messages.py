"""Every message of a problem document has a translation in each language, and none is left that nothing says."""

from __future__ import annotations

import ast
import string
from pathlib import Path
from typing import get_args

import pytest
from pydantic_core.core_schema import ErrorType

from taskyard.admission.field_faults import TEMPLATES
from taskyard.domain.messages import Choice, message, message_of, verbatim
from taskyard_api.translation import Telling, read_catalogues, telling

ROOT = Path(__file__).parents[2]
CATALOGUES = read_catalogues()


def messages() -> set[str]:
    """The templates in the source: literals that `message` and `marked` take."""
    found = set()
    for place in ("shared/taskyard", "services/api/taskyard_api", "kits/taskyard_kits"):
        for path in (ROOT / place).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                if isinstance(node, ast.Call) and ast.unparse(node.func) in {"message", "marked"}:
                    found |= {str(a.value) for a in node.args[:1] if isinstance(a, ast.Constant)}
    return found


def names(template: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(template) if name}


@pytest.mark.parametrize("language", ["de", "fr", "hu"])
def test_no_message_is_missing_in_any_language_and_none_is_left_over(language: str) -> None:
    translated, ours = CATALOGUES[language].messages, messages()
    assert len(ours) > 200, "the search finds them"
    assert ours - translated.keys() == set()
    assert translated.keys() - ours == set()


SAME_WORDS = {("fr", "minute")}


@pytest.mark.parametrize("language", ["de", "fr", "hu"])
def test_a_translation_takes_the_values_of_its_message(language: str) -> None:
    for template, translated in CATALOGUES[language].messages.items():
        assert names(template) == names(translated), template
        assert template != translated or (language, template) in SAME_WORDS
        assert template.endswith(".") == translated.endswith("."), template


def test_a_message_is_its_english_text_and_values_are_not_read_as_templates() -> None:
    told = message("There is no field {field}.", field="{0.__class__}")
    assert told == "There is no field {0.__class__}."
    assert telling(CATALOGUES, "de").tell(told) == "Es gibt kein Feld {0.__class__}."
    assert message_of(ValueError(told)) is told
    assert message_of(ValueError("x")).template is None


def test_alternatives_are_joined_as_the_language_does() -> None:
    told = message("Must be {options}.", options=Choice([message("a text"), "null", message("a number")]))
    assert told == "Must be a text, null or a number."
    said = {language: telling(CATALOGUES, language).tell(told) for language in ("de", "fr", "hu")}
    assert said["de"] == "Muss ein Text, null oder eine Zahl sein."
    assert said["fr"] == "Doit être un texte, null ou un nombre."
    assert said["hu"] == "Ez legyen: szöveg, null vagy szám."


def test_what_is_not_ours_stands_as_it_is() -> None:
    assert telling(CATALOGUES, "de").tell(verbatim("Not found")) == "Not found"
    assert Telling().tell("x") == "x"


def test_pydantics_errors_that_have_words_of_ours_exist() -> None:
    assert TEMPLATES.keys() <= set(get_args(ErrorType))

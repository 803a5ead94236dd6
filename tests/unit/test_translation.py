"""Failures in the reader's language: every code has words, values survive, preferences are understood."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskyard.catalogue.kits import load
from taskyard.catalogue.words import ENGLISH, PLATFORM, Vocabulary, check_template, told
from taskyard.domain.errors import TaskError
from taskyard.domain.failures import PHRASES, SENTENCES, Cause
from taskyard.domain.retry import RetryPolicy
from taskyard.domain.tasks import Failed
from taskyard.lifecycle import promote, rescue
from taskyard.running.outcomes import of_error
from taskyard.settings import Settings
from taskyard.storage import local
from taskyard_api.translation import TypeName, Words, best_of, platform_words, preferences, read_catalogues

ROOT = Path(__file__).parents[2]
CATALOGUES = read_catalogues()
LANGUAGES = ("de", "fr", "hu")
AVAILABLE = (ENGLISH, *LANGUAGES)
VOCABULARIES: Mapping[str, Vocabulary] = {
    "platform": platform_words(PLATFORM, CATALOGUES),
    **{task_type.name: task_type.vocabulary for task_type in load(Settings(diagnostics=True)).catalogue},
}
ECHO = TypeName("diagnostics.echo", 1)
# Messages that are the words of an exception or of a test of the author's, and in no language that we know.
OWN_MESSAGES = {"task_exception", "no_database"}


def codes_in(tree: ast.Module) -> Iterator[str]:
    """The codes of failures that a module makes: TaskError("..."), Fault("..."), invalid("...") and the like."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and node.args:
            name = ast.unparse(node.func).rpartition(".")[2]
            if name in {"TaskError", "Fault", "invalid", "_of_platform", "failure_sql", "_crash"}:
                for part in ast.walk(node.args[0]):
                    if isinstance(part, ast.Constant) and re.fullmatch("[a-z][a-z_]+", str(part.value)):
                        yield str(part.value)
        # super().__init__("...") of a class of its own
        if isinstance(node, ast.ClassDef) and any(ast.unparse(base) == "TaskError" for base in node.bases):
            for call in ast.walk(node):
                if isinstance(call, ast.Call) and call.args and isinstance(call.args[0], ast.Constant):
                    yield str(call.args[0].value)


def test_there_are_the_languages_that_are_promised() -> None:
    assert sorted(CATALOGUES) == sorted(LANGUAGES)


def test_every_code_in_the_code_base_has_words_in_four_languages() -> None:
    found: set[str] = set()
    for place in ("shared/taskyard", "services/worker", "kits"):
        for path in (ROOT / place).rglob("*.py"):
            if "build" not in path.parts:
                found |= set(codes_in(ast.parse(path.read_text("utf-8"))))
    known: dict[str, set[str]] = {}
    for vocabulary in VOCABULARIES.values():
        for code, words in vocabulary.errors.items():
            known[code] = known.get(code, set(words)) & set(words)
    for code in found - OWN_MESSAGES - {"diagnostic_"}:
        assert known.get(code, set()) >= set(AVAILABLE), code
    # The search finds what each of the places does.
    assert found >= {"crash", "crash_limit", "expired", "result_invalid", "smtp_unreachable", "smtp_refused",
                     "image_damaged", "unknown_queue", "unknown_task_type", "queue_not_served",
                     "task_unreadable"}  # fmt: skip
    assert set(SENTENCES) <= known.keys()


@pytest.mark.parametrize("name", VOCABULARIES)
def test_words_of_all_languages_take_the_same_values_and_differ(name: str) -> None:
    vocabulary = VOCABULARIES[name]
    for code, words in (*vocabulary.errors.items(), *vocabulary.phrases.items()):
        assert set(words) == set(AVAILABLE), code
        names = {check_template(template) for template in words.values()}
        assert len(names) == 1, code
        assert len(set(words.values())) == len(AVAILABLE), code


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_catalogue_holds_the_platforms_codes_and_phrases_and_nothing_else(language: str) -> None:
    assert set(CATALOGUES[language].failures.errors) == set(SENTENCES)
    assert set(CATALOGUES[language].failures.phrases) == set(PHRASES)


def test_the_reasons_of_the_storage_are_phrases_of_the_platform() -> None:
    assert set(local.PHRASE_OF.values()) <= set(PHRASES)


@pytest.mark.parametrize("name", VOCABULARIES)
def test_every_message_for_people_ends_as_a_sentence(name: str) -> None:
    for code, words in VOCABULARIES[name].errors.items():
        for text in words.values():
            assert text.endswith((".", ": {reason}")), text
            assert text[0].isupper(), text
        assert code.islower()


def test_messages_in_sql_equal_the_templates() -> None:
    found = set()
    for statement in (promote._EXPIRE, rescue._LOSE):
        for code in re.findall(r"'code', '(\w+)'", str(statement)):
            assert re.sub(r"\{\w+\}", "%s", SENTENCES[code]) in str(statement)
            found.add(code)
    assert found == {"crash", "crash_limit", "crash_suspect", "expired"}


def test_rewording_an_english_sentence_leaves_every_translation_working() -> None:
    reworded = {**PLATFORM.errors, "expired": {ENGLISH: "Time is up: {time}."}}
    before, after = (
        platform_words(vocabulary, CATALOGUES) for vocabulary in (PLATFORM, replace(PLATFORM, errors=reworded))
    )
    for language in LANGUAGES:
        translated = told("expired", {"time": "12:00"}, [after], language)
        assert translated is not None
        assert translated == told("expired", {"time": "12:00"}, [before], language)
        assert "12:00" in translated.sentence
    assert told("expired", {"time": "12:00"}, [after], ENGLISH) == ("Time is up: 12:00.", ENGLISH)


@pytest.mark.parametrize("name", VOCABULARIES)
def test_values_are_shown_as_they_are_whatever_is_in_them(name: str) -> None:
    for code, words in VOCABULARIES[name].errors.items():
        for language, template in words.items():
            values = {value: f"<{value}: {{x}}\n>" for value in check_template(template)}
            made = told(code, values, [VOCABULARIES[name]], language)
            assert made is not None
            assert all(value in made.sentence for value in values.values())


def test_a_tasks_own_message_is_not_translated() -> None:
    for code, message in (("expired", "Your voucher is too old."), ("smtp_refused", "The"), ("own", "Own words.")):
        error = {"code": code, "message": message}
        words = Words(("de",), VOCABULARIES["platform"], load(Settings()).catalogue)
        assert words.failure(error, TypeName("email.send", 1)) == error
        assert not words.used


def test_what_the_platform_recorded_is_told_in_its_own_words() -> None:
    """Though the type has the same code."""

    class Types:
        def words_of(self, name: str, version: int) -> Vocabulary:
            return Vocabulary({"crash": {"de": "Unfall."}})

    words = Words(("de",), VOCABULARIES["platform"], Types())
    error = {"code": "crash", "message": "m", "values": {"cause": "x"}}
    assert words.failure(error, ECHO)["message"] == "Unfall."
    assert "Prozess" in words.failure({**error, "kind": "crash"}, ECHO)["message"]


def test_a_missing_value_a_missing_language_and_missing_words_leave_the_stored_sentence() -> None:
    errors = (
        {"code": "expired", "message": "As it was.", "values": {}},
        {"code": "expired", "message": "As it was.", "values": {"time": None}},
        {"code": "unheard_of", "message": "As it was.", "values": {"time": "12:00"}},
        {"code": "expired", "message": "As it was.", "values": "12:00"},
    )
    for error in errors:
        words = Words(("de", "en"), VOCABULARIES["platform"])
        assert words.failure(error, ECHO) == {"code": error["code"], "message": "As it was."}
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
    assert best_of(preferences(header), AVAILABLE) == language


@given(st.text())
def test_malformed_headers_still_give_an_available_language(header: str) -> None:
    assert best_of(preferences(header), AVAILABLE) in AVAILABLE


def test_a_refused_child_is_told_in_the_readers_language() -> None:
    words = platform_words(PLATFORM, CATALOGUES)
    fault = of_error(
        TaskError("unknown_task_type", retryable=False, name="'a'", near={"phrase": "none"}),
        RetryPolicy(),
        failures=1,
        max_attempts=5,
    )
    assert isinstance(fault, Failed)
    assert fault.fault.message == "There is no task type 'a'. Similar names: none."
    made = told(fault.fault.code, fault.fault.values or {}, [words], "de")
    assert made is not None
    assert made.sentence == "Es gibt keinen Aufgabentyp 'a'. Ähnliche Namen: keine."


@pytest.mark.parametrize("language", AVAILABLE)
def test_the_cause_of_a_crash_is_told_in_the_readers_language(language: str) -> None:
    causes = [Cause("exit_code", {"code": 3}), Cause("signal", {"signal": "11 (SIGSEGV)"}),
              Cause("out_of_memory", {"signal": "9 (SIGKILL)"}), Cause("worker_lost")]  # fmt: skip
    assert {cause.phrase for cause in causes} < set(PHRASES)
    for cause in causes:
        made = told("crash", {"cause": cause.value}, [VOCABULARIES["platform"]], language)
        assert made is not None
        assert (str(cause) in made.sentence) == (language == ENGLISH), made
        assert all(str(value) in made.sentence for value in cause.values.values())


def test_a_phrase_whose_value_is_missing_leaves_the_stored_sentence() -> None:
    assert told("crash", {"cause": {"phrase": "signal", "signl": "9"}}, [PLATFORM], ENGLISH) is None

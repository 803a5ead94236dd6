"""The words of errors: templates that substitute plain `{name}`, and nothing else.

Templates come from workers and values from tasks, so `str.format` is out of the question: `{0.__class__}` reads
attributes and `{x:>1000000}` allocates memory. A brace is part of `{name}`, or doubled, or the template is refused.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ..domain.failures import PHRASES, SENTENCES

MAX_TEMPLATE = 1_000  # characters
MAX_PLACEHOLDERS = 20
MAX_VALUE = 500  # characters of one value in a sentence
ENGLISH = "en"
MAX_LANGUAGE = 35  # characters: the longest tag that RFC 5646 (4.4.1) expects

_PART = re.compile(r"\{\{|\}\}|\{([A-Za-z_][A-Za-z0-9_]{0,63})\}|[{}]")
_LANGUAGE = re.compile(r"[A-Za-z]{2,8}(?:[-_][A-Za-z0-9]{1,8})*", re.ASCII)

Words = Mapping[str, str]  # a template or a text by language tag
Value = str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Templates of sentences by code, and phrases by name, each by language: those of a task type or the platform."""

    errors: Mapping[str, Words] = field(default_factory=dict)
    phrases: Mapping[str, Words] = field(default_factory=dict)


# What the platform itself says, in English; its translations stand in the API's catalogues.
PLATFORM = Vocabulary(
    {code: {ENGLISH: sentence} for code, sentence in SENTENCES.items()},
    {name: {ENGLISH: text} for name, text in PHRASES.items()},
)


class Told(NamedTuple):
    """A sentence, and the language tag of the words that it was made of."""

    sentence: str
    language: str


class TemplateRefused(ValueError):
    """The template holds more than text and plain `{name}`; the message says what."""


def check_template(template: str) -> frozenset[str]:
    """The names in a template. Raises TemplateRefused."""
    if len(template) > MAX_TEMPLATE:
        raise TemplateRefused(f"a sentence has at most {MAX_TEMPLATE} characters")
    names = []
    for part in _PART.finditer(template):
        if part[1] is not None:
            names.append(part[1])
        elif part[0] not in {"{{", "}}"}:
            raise TemplateRefused("a sentence may hold {name} and doubled braces, and no other braces")
    if len(names) > MAX_PLACEHOLDERS:
        raise TemplateRefused(f"a sentence has at most {MAX_PLACEHOLDERS} places for values")
    return frozenset(names)


def check_language(tag: str) -> None:
    """Raises ValueError for what is no language tag such as `en` or `de-AT`."""
    if len(tag) > MAX_LANGUAGE or not _LANGUAGE.fullmatch(tag):
        raise ValueError(f"a language is a tag such as `en` or `de-AT`, of at most {MAX_LANGUAGE} characters")


def render(template: str, values: Mapping[str, Value]) -> str | None:
    """The template with its values, each cut to 500 characters; None where a value is missing or null.

    Raises TemplateRefused for a template that `check_template` refuses.
    """
    if any(values.get(name) is None for name in check_template(template)):
        return None
    return _PART.sub(lambda part: _text(values[part[1]]) if part[1] else part[0][0], template)


def told(code: str, values: Mapping[str, Any], vocabularies: Sequence[Vocabulary], language: str) -> Told | None:
    """The sentence of an error in a language, from the first of the vocabularies that can say it.

    A value `{"phrase": name}` stands for a phrase of any of them; what else is in it are values of the phrase.
    `de-AT` falls back to `de`. None where words, a value or a translation is missing: the sentence that was stored with
    the error is shown then.
    """
    plain = {name: _plain(value, vocabularies, language) for name, value in values.items()}
    for vocabulary in vocabularies:
        words = vocabulary.errors.get(code, {})
        tag = _matching(words, language)
        try:
            if tag is not None and (sentence := render(words[tag], plain)):
                return Told(sentence, tag)
        except TemplateRefused:  # from before the check
            continue
    return None


def sentence_to_store(code: str, values: Mapping[str, Any], vocabulary: Vocabulary) -> str:
    """The sentence that is stored with an error: in English, else in the first language that its words have, else its
    code."""
    languages = dict.fromkeys((ENGLISH, *vocabulary.errors.get(code, {})))
    found = (told(code, values, (vocabulary, PLATFORM), language) for language in languages)
    return next((made.sentence for made in found if made is not None), code)


def _plain(value: Any, vocabularies: Sequence[Vocabulary], language: str) -> Value:
    match value:
        case {"phrase": str(name), **own}:
            found = (v.phrases.get(name, {}) for v in vocabularies)
            text = next((words[tag] for words in found if (tag := _matching(words, language)) is not None), None)
            return text if text is None or not own else _with_values(text, {str(n): own[n] for n in own})
        case str() | int() | float():
            return value
        case _:
            return None


def _with_values(text: str, own: Mapping[str, Any]) -> str | None:
    try:
        return render(text, {name: value for name, value in own.items() if isinstance(value, str | int | float)})
    except TemplateRefused:
        return None


def _matching(words: Words, language: str) -> str | None:
    """The tag of the words that serves a reader of the language."""
    by_tag = {tag.lower().replace("_", "-"): tag for tag in words}
    wanted = language.lower().replace("_", "-")
    while wanted:
        if wanted in by_tag:
            return by_tag[wanted]
        wanted = wanted.rpartition("-")[0]
    return None


def _text(value: Value) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    text = str(value)
    return text if len(text) <= MAX_VALUE else text[: MAX_VALUE - 1] + "…"

"""The words of errors: templates that substitute plain `{name}`, and nothing else.

Templates come from workers and values from tasks, so `str.format` is out of the question: `{0.__class__}` reads
attributes and `{x:>1000000}` allocates memory. A brace is part of `{name}`, or doubled, or the template is refused.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

MAX_TEMPLATE = 1_000  # characters
MAX_PLACEHOLDERS = 20
MAX_VALUE = 500  # characters of one value in a sentence
MAX_LANGUAGE = 35  # characters: the longest tag that RFC 5646 (4.4.1) expects

_PART = re.compile(r"\{\{|\}\}|\{([A-Za-z_][A-Za-z0-9_]{0,63})\}|[{}]")
_LANGUAGE = re.compile(r"[A-Za-z]{2,8}(?:[-_][A-Za-z0-9]{1,8})*", re.ASCII)

Words = Mapping[str, str]  # a template or a text by language tag
Value = str | int | float | bool | None


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


def told(
    code: str,
    values: Mapping[str, Any],
    *,
    errors: Mapping[str, Mapping[str, Words]],
    phrases: Mapping[str, Words],
    language: str,
    stored: str,
) -> str:
    """The sentence of an error in the reader's language.

    `errors` and `phrases` are those of the spec; a value `{"phrase": name}` stands for a phrase. `de-AT` falls back to
    `de`. Without words, values or translation: `stored`, the sentence kept with the task.
    """
    template = _in_language(errors.get(code, {}).get("words", {}), language)
    if template is None:
        return stored
    plain = {name: _phrase(value, phrases, language) for name, value in values.items()}
    try:
        return render(template, plain) or stored
    except TemplateRefused:  # a row older than the check
        return stored


def _phrase(value: Any, phrases: Mapping[str, Words], language: str) -> Value:
    match value:
        case {"phrase": str(name), **others} if not others:
            return _in_language(phrases.get(name, {}), language)
        case str() | int() | float():
            return value
        case _:
            return None


def _in_language(words: Words, language: str) -> str | None:
    by_tag = {tag.lower().replace("_", "-"): text for tag, text in words.items()}
    tag = language.lower().replace("_", "-")
    while tag:
        if tag in by_tag:
            return by_tag[tag]
        tag = tag.rpartition("-")[0]
    return None


def _text(value: Value) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    text = str(value)
    return text if len(text) <= MAX_VALUE else text[: MAX_VALUE - 1] + "…"

"""Failures and problem documents in the reader's language. The ledger holds code, values and the English sentence of
their time; Accept-Language chooses the words at each read.

The words of the platform's codes stand in the catalogues (locale/*.po, gettext's format), by code; they are read once,
at the start, and need no compilation. Those of a task type's codes come with the type. Messages of problem documents
(`taskyard.domain.messages`) are found by their English template, as gettext has it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import falcon.asgi
from babel.lists import format_list
from babel.messages.pofile import read_po

from taskyard.catalogue.words import ENGLISH, MAX_LANGUAGE, PLATFORM, Vocabulary, told
from taskyard.domain.messages import Choice, Message, Series, in_series, of_json
from taskyard.domain.tasks import FailureKind

# What every call takes, for its problem documents too; and what calls send whose answers are translated.
READERS_LANGUAGE = (
    "For messages: en, de, fr, hu for those of the platform, and the languages that a task type has words in for its"
    " failures. In English where there are no others."
)
LANGUAGE = ("Content-Language", "Vary")
# Of the stored failure: what the words are made of.
_INTERNAL = frozenset({"values", "kind", "place"})
_MAX_LANGUAGES = 20
_QUALITY = re.compile(r"0(\.[0-9]{0,3})?|1(\.0{0,3})?")
_LOCALE = Path(__file__).parent / "locale"


class TypeWords(Protocol):
    """Where the words of task types are found."""

    def words_of(self, name: str, version: int) -> Vocabulary:
        """Those of a type as that version has them; none where nothing is known of it."""


class TypeName(NamedTuple):
    """The type of a task as the task's row names it."""

    name: str
    version: int


class _Silent:
    def words_of(self, name: str, version: int) -> Vocabulary:
        return Vocabulary()


@dataclass(slots=True)
class Words:
    """The languages of one answer: those that the reader prefers, best first, and those that it came to hold. Without
    any, failures are shown as they are stored."""

    preferred: tuple[str, ...] = ()
    platform: Vocabulary = PLATFORM
    types: TypeWords = field(default_factory=_Silent)
    support_url: str | None = None
    used: dict[str, None] = field(default_factory=dict)
    catalogues: Mapping[str, Catalogue] = field(default_factory=dict)

    def say(self, text: Message) -> str:
        """A message of ours in the language that the reader likes best of those there are."""
        told = telling_of(self.catalogues, self.preferred)
        self.used[told.language] = None
        return told.tell(text)

    def failure(self, error: Mapping[str, Any], of: TypeName) -> dict[str, Any]:
        """A stored failure as it is shown. The stored sentence stays where it is the task's own, and where words, a
        value or a translation is missing."""
        shown = {key: value for key, value in error.items() if key not in _INTERNAL}
        if self.support_url is not None:
            shown["support_url"] = self.support_url
        code, values = error.get("code"), error.get("values")
        if not isinstance(code, str) or not isinstance(values, dict) or not self.preferred:
            return shown
        vocabularies = self._vocabularies(of, error.get("kind", FailureKind.EXCEPTION))
        for language in self.preferred:
            if made := told(code, self._said(values, language), vocabularies, language):
                self.used[made.language] = None
                return {**shown, "message": made.sentence}
            if language.partition("-")[0] == ENGLISH:
                break  # the stored sentence is English
        return shown

    def _said(self, values: Mapping[str, Any], language: str) -> dict[str, Any]:
        """The values, with messages among them in that language; in English where it has no catalogue."""
        telling = telling_of(self.catalogues, (language,))
        found = {name: of_json(value) for name, value in values.items()}
        return {name: telling.tell(value) if isinstance(value, Message) else value for name, value in found.items()}

    def expect(self, of: TypeName) -> None:
        """Reckons with all failures that a task of the type may have: for answers whose head is sent before them."""
        for vocabulary in self._vocabularies(of, FailureKind.EXCEPTION):
            for words in vocabulary.errors.values():
                self.used[best_of(self.preferred, {tag.lower().replace("_", "-") for tag in words})] = None

    def tell(self, resp: falcon.asgi.Response) -> None:
        """Sets Vary, and Content-Language where the answer has a translated message."""
        resp.append_header("Vary", "Accept-Language")
        for name, value in self.headers().items():
            resp.set_header(name, value)

    def headers(self) -> dict[str, str]:
        """Content-Language where the answer has a translated message: for answers that are kept to be given again."""
        return {"Content-Language": ", ".join(self.used)} if self.used else {}

    def _vocabularies(self, of: TypeName, kind: str) -> tuple[Vocabulary, ...]:
        # A type may have a code that the platform has, too: what the platform recorded is told in its own words.
        if kind != FailureKind.EXCEPTION:
            return (self.platform,)
        return (self.types.words_of(of.name, of.version), self.platform)


class Translations:
    """`support_url`: where people find help, shown with each failure."""

    def __init__(self, types: TypeWords, catalogues: Mapping[str, Catalogue], support_url: str | None) -> None:
        self._platform = platform_words(PLATFORM, catalogues)
        self._catalogues = catalogues
        self._types = types
        self._support_url = support_url

    def for_reader(self, req: falcon.asgi.Request) -> Words:
        return Words(
            preferences(req.get_header("Accept-Language")),
            self._platform,
            self._types,
            self._support_url,
            catalogues=self._catalogues,
        )


@dataclass(frozen=True, slots=True)
class Catalogue:
    """What is translated into a language: the platform's failures by code, and messages by their English template."""

    failures: Vocabulary
    messages: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Telling:
    """Messages in one language."""

    language: str = ENGLISH
    messages: Mapping[str, str] = field(default_factory=dict)

    def tell(self, text: str) -> str:
        """A message that is not ours, and any other text, stands as it is."""
        if isinstance(text, Series):
            return in_series(map(self.tell, text.parts))
        if not isinstance(text, Message) or text.template is None or self.language == ENGLISH:
            return str(text)
        template = self.messages.get(text.template)
        if template is None:
            return str(text)
        return template.format_map({name: self._value(value) for name, value in text.values.items()})

    def _value(self, value: object) -> object:
        if isinstance(value, Choice):
            return format_list([self.tell(one) for one in value], style="or", locale=self.language)
        return self.tell(value) if isinstance(value, str) else value


def telling(catalogues: Mapping[str, Catalogue], accept_language: str | None) -> Telling:
    """In the language that the reader likes best of those there are."""
    return telling_of(catalogues, preferences(accept_language))


def telling_of(catalogues: Mapping[str, Catalogue], preferred: Iterable[str]) -> Telling:
    language = best_of(preferred, (ENGLISH, *catalogues))
    return Telling(language, {} if language == ENGLISH else catalogues[language].messages)


def platform_words(english: Vocabulary, catalogues: Mapping[str, Catalogue]) -> Vocabulary:
    """The English words of the platform's codes together with their translations, which are found by code."""
    errors = {code: dict(words) for code, words in english.errors.items()}
    phrases = {name: dict(words) for name, words in english.phrases.items()}
    for language, catalogue in catalogues.items():
        for code, text in catalogue.failures.errors.items():
            errors.setdefault(code, {}).update({language: text[language]})
        for name, text in catalogue.failures.phrases.items():
            phrases.setdefault(name, {}).update({language: text[language]})
    return Vocabulary(errors, phrases)


@cache
def read_catalogues() -> Mapping[str, Catalogue]:
    """All catalogues, by language; read once."""
    found = {}
    for path in sorted(_LOCALE.glob("*.po")):
        language = path.stem
        with path.open("rb") as file:
            messages = [m for m in read_po(file, locale=language, abort_invalid=True) if m.string and not m.fuzzy]
        texts = {(m.context, str(m.id)): {language: str(m.string)} for m in messages}
        failures = Vocabulary(
            {key: text for (context, key), text in texts.items() if context == "failure"},
            {key: text for (context, key), text in texts.items() if context == "phrase"},
        )
        templates = {key: text[language] for (context, key), text in texts.items() if context == "message"}
        found[language] = Catalogue(failures, templates)
    return found


def preferences(header: str | None) -> tuple[str, ...]:
    """The languages that the reader prefers (RFC 9110, 12.5.4), best first. English is the last resort, and what `*`
    stands for."""
    liked: list[tuple[float, str]] = []
    for part in (header or "").split(",", _MAX_LANGUAGES)[:_MAX_LANGUAGES]:
        tag, _, parameter = part.partition(";")
        language, quality = tag.strip().lower(), _quality(parameter)
        if quality > 0 and 0 < len(language) <= MAX_LANGUAGE:
            liked.append((quality, ENGLISH if language == "*" else language))
    liked.sort(key=lambda item: -item[0])  # the first of equals stays first
    return tuple(dict.fromkeys((*(language for _, language in liked), ENGLISH)))


def best_of(preferred: Iterable[str], available: Collection[str]) -> str:
    """The available language that is preferred most: `de` for `de-AT`, English where none is available."""
    for language in preferred:
        tag = language
        while tag:
            if tag in available:
                return tag
            tag = tag.rpartition("-")[0]
    return ENGLISH


def _quality(parameter: str) -> float:
    name, _, value = parameter.partition("=")
    if not name.strip():
        return 1.0
    is_quality = name.strip().lower() == "q" and _QUALITY.fullmatch(value.strip())
    return float(value) if is_quality else 0.0

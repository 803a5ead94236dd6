"""Failures in the reader's language. The ledger holds English; Accept-Language chooses the language at each read.

The catalogues (locale/*.po, gettext's format) are read once, at the start; they need no compilation.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import falcon.asgi
from babel.messages.pofile import read_po
from taskyard.domain.explanations import EXPLANATIONS, values_in

ENGLISH = "en"
# For the declarations of calls whose answers are translated.
READERS_LANGUAGE = {"Accept-Language": "For the messages of failures: en, de, fr, hu."}
LANGUAGE = ("Content-Language", "Vary")
_LOCALE = Path(__file__).parent / "locale"


@dataclass(slots=True)
class Words:
    """The language of one answer."""

    language: str = ENGLISH
    texts: Mapping[str, str] = field(default_factory=dict)
    used: bool = False

    def failure(self, error: dict[str, Any]) -> dict[str, Any]:
        """A stored failure, with its message translated where it is one of the platform's."""
        code, message = error.get("code"), error.get("message")
        if not isinstance(code, str) or not isinstance(message, str):
            return error
        values = values_in(code, message)
        if values is None:
            return error
        self.used = True
        template = self.texts.get(EXPLANATIONS[code])
        if template is None:
            return error
        own = {name: self.texts.get(value, value) for name, value in values.items()}
        return {**error, "message": template.format(**own)}

    def tell(self, resp: falcon.asgi.Response) -> None:
        """Sets Vary, and Content-Language where the answer has a translated message."""
        resp.append_header("Vary", "Accept-Language")
        if self.used:
            resp.set_header("Content-Language", self.language)


class Translations:
    def __init__(self) -> None:
        self._catalogues: dict[str, Mapping[str, str]] = {ENGLISH: {}, **read_catalogues()}

    def for_reader(self, req: falcon.asgi.Request) -> Words:
        language = preferred_language(req.get_header("Accept-Language"), self._catalogues)
        return Words(language, self._catalogues[language])


def read_catalogues() -> dict[str, dict[str, str]]:
    """All catalogues: language -> English text -> translation."""
    found = {}
    for path in sorted(_LOCALE.glob("*.po")):
        with path.open("rb") as file:
            messages = read_po(file, locale=path.stem, abort_invalid=True)
        found[path.stem] = {str(m.id): str(m.string) for m in messages if m.id and m.string and not m.fuzzy}
    return found


def preferred_language(header: str | None, available: Collection[str]) -> str:
    """The available language that the reader prefers (RFC 9110, 12.5.4): `de` for `de-AT`. English where none matches
    or the header is malformed."""
    liked: list[tuple[float, str]] = []
    for part in (header or "").split(","):
        tag, _, parameter = part.partition(";")
        language = tag.strip().partition("-")[0].lower()
        quality = _quality(parameter)
        if quality > 0 and (language in available or language == "*"):
            liked.append((quality, language))
    if not liked:
        return ENGLISH
    _, best = max(liked, key=lambda item: item[0])  # the first of equals
    return ENGLISH if best == "*" else best


def _quality(parameter: str) -> float:
    name, _, value = parameter.partition("=")
    if not name.strip():
        return 1.0
    try:
        quality = float(value) if name.strip().lower() == "q" else 0.0
    except ValueError:
        return 0.0
    return quality if 0 <= quality <= 1 else 0.0

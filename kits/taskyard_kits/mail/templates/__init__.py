"""Messages in several languages: `<name>/<language>/{subject.txt,text.txt,body.html}.j2` beside this file.

In HTML every value is escaped; a value that is missing is an error and not an empty place.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jinja2 import Environment

LANGUAGES = ("en", "de", "fr", "hu")


@dataclass(frozen=True, slots=True)
class Parts:
    subject: str
    text: str
    html: str


def nearest_language(tag: str) -> str:
    """The language of `de-AT` is `de`; English where there is no translation."""
    language = tag.replace("_", "-").split("-")[0].lower()
    return language if language in LANGUAGES else LANGUAGES[0]


def render(name: str, language: str, **values: Any) -> Parts:
    """The parts of a message in the nearest language."""
    folder = f"{name}/{nearest_language(language)}"
    values["language"] = nearest_language(language)

    def part(file: str) -> str:
        return _environment().get_template(f"{folder}/{file}").render(values)

    # A subject is one line, whatever the values hold.
    subject = " ".join(part("subject.txt.j2").split())
    return Parts(subject, part("text.txt.j2").strip() + "\n", part("body.html.j2"))


@cache
def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

    return Environment(
        loader=PackageLoader(__name__, "."),
        autoescape=select_autoescape(enabled_extensions=("html.j2",), default=False),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )

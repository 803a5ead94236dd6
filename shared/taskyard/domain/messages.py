"""Message: a sentence for people that knows how it was made, so that a reader's language can be served.

It is its English text, and carries the template and the values of it, as gettext needs them: the API finds the
translation by the template. `message("...")` takes a literal, so that the templates can be collected from the source.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self


class Message(str):
    """`template` None: it is not of our making, and stands as it is."""

    __slots__ = ("template", "values")

    template: str | None
    values: Mapping[str, str | int | float | Choice]

    def __new__(cls, text: str, template: str | None, values: Mapping[str, str | int | float | Choice]) -> Self:
        made = super().__new__(cls, text)
        made.template = template
        made.values = values
        return made


class Choice(tuple[str, ...]):
    """Alternatives as a value: `a, b or c`."""

    __slots__ = ()

    def __str__(self) -> str:
        return " or ".join([", ".join(self[:-1]), self[-1]] if len(self) > 1 else self)


def message(template: str, /, **values: str | float | Choice) -> Message:
    """A message in our own words; `{name}` in the template is a value."""
    return Message(template.format_map(values) if values else template, template, values)


def marked(template: str) -> str:
    """A template that is used elsewhere: so that it is collected with those of `message`."""
    return template


def verbatim(text: str) -> Message:
    """A message in the words of others: of a task type's author, or of a library."""
    return Message(text, None, {})


def message_of(error: Exception) -> Message:
    """What an error was raised with, where that is a message; else its text."""
    told = error.args[0] if error.args else None
    return told if isinstance(told, Message) else verbatim(str(error))

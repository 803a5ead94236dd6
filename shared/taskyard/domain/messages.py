"""Message: a sentence for people that knows how it was made, so that a reader's language can be served.

It is its English text, and carries the template and the values of it, as gettext needs them: the API finds the
translation by the template. `message("...")` takes a literal, so that the templates can be collected from the source.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Self


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


class Series(Message):
    """Several messages, one after the other."""

    __slots__ = ("parts",)

    parts: tuple[str, ...]

    @classmethod
    def of(cls, parts: Iterable[str]) -> Self:
        found = tuple(parts)
        made = cls(in_series(found), None, {})
        made.parts = found
        return made


class Choice(tuple[str, ...]):
    """Alternatives as a value: `a, b or c`."""

    __slots__ = ()

    def __str__(self) -> str:
        return " or ".join([", ".join(self[:-1]), self[-1]] if len(self) > 1 else self)


def message(template: str, /, **values: str | float | Choice) -> Message:
    """A message in our own words; `{name}` in the template is a value."""
    return Message(template.format_map(values) if values else template, template, values)


def in_series(parts: Iterable[str]) -> str:
    """The parts as one text."""
    text = ""
    for part in parts:
        text += part if not text else f" {part}" if text.endswith(".") else f"; {part}"
    return text


def changed(text: str, change: Callable[[str], str]) -> str:
    """The text, with each of the texts that it is made of changed."""
    match text:
        case Series():
            return Series.of(changed(part, change) for part in text.parts)
        case Message(template=str(template)):
            values = {name: _changed_value(value, change) for name, value in text.values.items()}
            return Message(change(str(text)), template, values)
    return change(text)


def _changed_value(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, Choice):
        return Choice(changed(one, change) for one in value)
    return changed(value, change) if isinstance(value, str) else value


def as_json(value: Any) -> Any:
    """A message, or a value of one, as it is stored: with its English text beside its template."""
    match value:
        case Series():
            return {"series": [as_json(part) for part in value.parts]}
        case Message(template=str(template)):
            values = {name: as_json(inner) for name, inner in value.values.items()}
            return {"message": template, "text": str(value), "values": values}
        case Choice():
            return {"choice": [as_json(one) for one in value]}
        case str():
            return str(value)
    return value


def of_json(value: Any) -> Any:
    """What `as_json` stored; anything else as it is."""
    match value:
        case {"series": list(parts)}:
            return Series.of(part for part in map(of_json, parts) if isinstance(part, str))
        case {"message": str(template), "text": str(text), "values": dict(values)}:
            return Message(text, template, {str(name): of_json(inner) for name, inner in values.items()})
        case {"choice": list(options)}:
            return Choice(one for one in map(of_json, options) if isinstance(one, str))
    return value


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

"""Why data do not fit, in messages that are stored with the failure and told in the reader's language."""

from __future__ import annotations

from pydantic import ValidationError

from ..admission.field_faults import told_of
from ..domain.messages import Message, Series, message, verbatim
from ..lifecycle.batch import Unstorable
from .speech import name_of, text_of

_MAX_FAULTS = 5


def reason_of(error: BaseException) -> Message:
    """The error in our words where they are ours, else in its own; never with the values that caused it."""
    if isinstance(error, Unstorable):
        return at_place(error.pointer, error.sentence)
    if not isinstance(error, ValidationError):
        return verbatim(text_of(error) or name_of(type(error)))
    faults = error.errors(include_input=False, include_url=False)[:_MAX_FAULTS]
    return Series.of(told_of(fault, _named(fault["loc"])) for fault in faults)


def _named(loc: tuple[int | str, ...]) -> str:
    return f"`{'.'.join(map(str, loc))[:100]}`" if loc else message("This")


def at_place(pointer: str, fault: Message) -> Message:
    """A fault with its place (RFC 6901)."""
    return message("At {place}: {fault}", place=pointer or "/", fault=fault)


def why_not_stored(error: BaseException) -> Message:
    """Of an error that PostgreSQL, or the encoder before it, raised about an outcome."""
    answer = text_of(getattr(error, "orig", error)).partition("\n")[0]
    if isinstance(error, TypeError):
        return message("it is not JSON: {answer}", answer=answer)
    return message("PostgreSQL does not take it: {answer}", answer=answer)

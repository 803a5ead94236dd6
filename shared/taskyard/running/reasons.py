"""Why data do not fit, in messages that are stored with the failure and told in the reader's language."""

from __future__ import annotations

import inspect

from pydantic import BaseModel, RootModel, ValidationError

from ..admission.field_faults import told_of
from ..domain.messages import Message, Series, message, verbatim
from ..lifecycle.batch import Unstorable
from .speech import name_of, text_of

_MAX_FAULTS = 5
_MAX_PATH = 100  # characters


def reason_of(error: BaseException) -> Message:
    """The error in our words where they are ours, else in its own; never with the values that caused it."""
    if isinstance(error, Unstorable):
        return at_place(error.pointer, error.sentence)
    if not isinstance(error, ValidationError):
        return verbatim(text_of(error) or name_of(type(error)))
    faults = error.errors(include_input=False, include_url=False)[:_MAX_FAULTS]
    return Series.of(told_of(fault, _path(fault["loc"])) for fault in faults)


def returned_nothing(result: type[BaseModel]) -> Message:
    """Of a function that declares a result and returns None."""
    return message("it returned None, and declares {name}", name=_declared(result))


def at_place(pointer: str, fault: Message) -> Message:
    """A fault with its place (RFC 6901)."""
    return message("At {place}: {fault}", place=pointer or "/", fault=fault)


def why_not_stored(error: BaseException) -> Message:
    """Of an error that PostgreSQL, or the encoder before it, raised about an outcome."""
    answer = text_of(getattr(error, "orig", error)).partition("\n")[0]
    if isinstance(error, TypeError):
        return message("it is not JSON: {answer}", answer=answer)
    return message("PostgreSQL does not take it: {answer}", answer=answer)


def _path(loc: tuple[int | str, ...]) -> str:
    return f"`{'.'.join(map(str, loc))[:_MAX_PATH]}`" if loc else message("This")


def _declared(result: type[BaseModel]) -> str:
    """As the function's author has written it: a root model was made around what is no model."""
    root = result.model_fields.get("root") if issubclass(result, RootModel) else None
    return name_of(result) if root is None else inspect.formatannotation(root.annotation)

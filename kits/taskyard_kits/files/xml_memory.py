"""A parser of XML that gets no memory does not always say so by a MemoryError."""

from __future__ import annotations

from xml.etree.ElementTree import ParseError
from xml.parsers.expat import ExpatError, errors

_NO_MEMORY = errors.codes[errors.XML_ERROR_NO_MEMORY]


def is_used_up(error: BaseException) -> bool:
    """Whether the error says that there is no more memory: Python's own, or expat's, which allocates by itself."""
    match error:
        case MemoryError():
            return True
        case ExpatError() | ParseError():
            return error.code == _NO_MEMORY
        case _:
            return False

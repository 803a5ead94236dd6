"""Libraries in C that get no memory do not always say so by a MemoryError."""

from __future__ import annotations

import zlib
from xml.etree.ElementTree import ParseError
from xml.parsers.expat import ExpatError, errors

_NO_MEMORY = errors.codes[errors.XML_ERROR_NO_MEMORY]
_Z_MEM_ERROR = "Error -4 "


def is_used_up(error: BaseException) -> bool:
    """Whether the error says that there is no more memory: Python's own, expat's or zlib's."""
    match error:
        case MemoryError():
            return True
        case ExpatError() | ParseError():
            return error.code == _NO_MEMORY
        case zlib.error():
            return str(error).startswith(_Z_MEM_ERROR)
        case _:
            return False

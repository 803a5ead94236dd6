"""Libraries in C that get no memory do not always say so by a MemoryError."""

from __future__ import annotations

import zlib
from xml.etree.ElementTree import ParseError  # nosec B405  # the error alone; defusedxml parses
from xml.parsers.expat import ExpatError, errors

_NO_MEMORY = errors.codes[errors.XML_ERROR_NO_MEMORY]
_Z_MEM_ERROR = "Error -4 "


def is_used_up(error: BaseException | None) -> bool:
    """Whether the error, or one that it was raised from or on the way of, says that there is no more memory: Python's
    own, expat's or zlib's."""
    while error is not None:
        match error:
            case MemoryError():
                return True
            case ExpatError() | ParseError() if error.code == _NO_MEMORY:
                return True
            case zlib.error() if str(error).startswith(_Z_MEM_ERROR):
                return True
        error = error.__cause__ or error.__context__
    return False

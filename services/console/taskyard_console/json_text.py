"""JSON as pages show it, as people copy it into a shell, and as they type it."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from typing import Any

# Not seen, or seen in another order than they are copied: controls, joiners, marks and overrides of direction. And
# halves of characters, which cannot be sent.
_UNSEEN = re.compile("[\x7f-\x9f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff]")


def json_text(value: Any, *, indent: int | None = None, default: Callable[[Any], str] = str) -> str:
    """Other languages stay readable; what hides in a text is escaped."""
    text = json.dumps(value, indent=indent, ensure_ascii=False, default=default)
    return _UNSEEN.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def one_line(value: Any, most: int) -> str:
    text = json_text(value)
    return text if len(text) <= most else f"{text[:most]}…"


def json_of(text: str) -> Any:
    """Raises ValueError also for what Python reads and JSON does not have."""
    try:
        return json.loads(text, parse_constant=_finite, parse_float=_finite)
    except RecursionError as e:
        raise ValueError("so many levels of lists and objects are not read") from e


def _finite(text: str) -> float:
    found = float(text)
    if not math.isfinite(found):
        raise ValueError(f"{text} is no number of JSON")
    return found

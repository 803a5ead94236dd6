"""Server-sent events as a test reads them off an answer (HTML Living Standard, section 9.2.6)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class ServerEvent:
    """An event that is not a heartbeat."""

    kind: str
    data: dict[str, Any]
    id: str | None = None


def parse_events(lines: Iterator[str]) -> Iterator[ServerEvent]:
    kind, data, event_id = "message", list[str](), None
    for line in lines:
        if not line:
            if data:
                yield ServerEvent(kind, json.loads("\n".join(data)), event_id)
            kind, data, event_id = "message", [], None
            continue
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        match name:
            case "event":
                kind = value
            case "data":
                data.append(value)
            case "id":
                event_id = value

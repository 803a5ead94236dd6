"""What docs/metrics.md says, as tests read it."""

from __future__ import annotations

import re
from typing import NamedTuple

from tests.support.docs import DOCS

_HEADINGS = {"Every service": "every", "API": "api", "Worker": "worker", "Scheduler": "scheduler", "Console": "console"}
_ROW = re.compile(r"^\| `(taskyard_\w+)` \| (\w+) \|([^|]*)\| (\S[^|]*) \|$", re.MULTILINE)
_HOOKS = "taskyard_hook_errors_total"
_OF_POSTGRESQL = {"taskyard_db_pool_connections", "taskyard_db_transaction_seconds"}
# The scheduler runs no hooks; the console reaches no server but the API.
_NOT_IN = {"scheduler": {_HOOKS}, "console": {_HOOKS, *_OF_POSTGRESQL}}


class Told(NamedTuple):
    kind: str
    labels: tuple[str, ...]


def told(service: str) -> dict[str, Told]:
    """What the page says of a service: the rows of all, and its own."""
    found: dict[str, Told] = {}
    for part in re.split(r"^## ", (DOCS / "metrics.md").read_text("utf-8"), flags=re.MULTILINE)[1:]:
        if _HEADINGS.get(part.partition("\n")[0]) in {"every", service}:
            for name, kind, labels, _ in _ROW.findall(part):
                assert name not in found, f"docs/metrics.md tells {name} twice"
                found[name] = Told(kind, tuple(re.findall(r"`(\w+)`", labels)))
    return {name: said for name, said in found.items() if name not in _NOT_IN.get(service, ())}

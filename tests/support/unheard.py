"""An announcer that nothing listens to: for tests of what is committed, not of what is told."""

from __future__ import annotations

from typing import Any

from taskyard.lifecycle.committed import Committed


class Unheard:
    def dispatch(self, committed: Committed[Any]) -> None:
        pass

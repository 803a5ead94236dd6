"""Records that are written in one transaction."""

from __future__ import annotations

from typing import Any

import orjson

from taskyard.store.records import Written


class Chunk:
    """Of records with one key the last one is written; those before it are counted as if each had been."""

    def __init__(self) -> None:
        self.rows: dict[str, Any] = {}
        self.bytes = 0
        self._updated = 0
        self._unchanged = 0
        self._encoded: dict[str, bytes] = {}

    def add(self, key: str, values: dict[str, Any]) -> None:
        # Python holds 1, 1.0 and true for equal.
        encoded = orjson.dumps(values, option=orjson.OPT_SORT_KEYS)
        if key in self.rows:
            if self._encoded[key] == encoded:
                self._unchanged += 1
            else:
                self._updated += 1
        self.rows[key] = values
        self._encoded[key] = encoded
        self.bytes += len(encoded)

    def counted(self, written: Written) -> Written:
        """With the records that were not written, because others followed."""
        return Written(written.inserted, written.updated + self._updated, written.unchanged + self._unchanged)

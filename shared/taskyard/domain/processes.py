"""How many child processes a worker may have."""

from __future__ import annotations

from typing import NamedTuple

MOST = 64


class ProcessRange(NamedTuple):
    """Written `N`, or `MIN:MAX` where the number follows the work."""

    minimum: int
    maximum: int

    @classmethod
    def parse(cls, text: str) -> ProcessRange:
        """Raises ValueError."""
        first, colon, second = text.strip().partition(":")
        try:
            minimum = int(first)
            found = cls(minimum, int(second) if colon else minimum)
        except ValueError:
            found = cls(0, 0)
        if not 1 <= found.minimum <= found.maximum <= MOST:
            raise ValueError(f"must be a number from 1 to {MOST}, or MIN:MAX such as 2:8")
        return found

    def __str__(self) -> str:
        return f"{self.minimum}:{self.maximum}" if self.minimum < self.maximum else str(self.minimum)

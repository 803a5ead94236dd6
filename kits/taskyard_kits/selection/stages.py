"""How far a run is, in percent. Each stage has its part of the whole, so that the numbers only rise."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Stage:
    begin: int
    end: int

    def at(self, share: float) -> float:
        """The percentage of the run where this share of the stage, from 0 to 1, is done."""
        return round(self.begin + (self.end - self.begin) * share, 1)


READING = Stage(0, 5)
DRAWING = Stage(5, 90)
STORING = Stage(90, 95)
WRITING = Stage(95, 100)

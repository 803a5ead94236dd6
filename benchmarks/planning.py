"""What PostgreSQL spends on planning, by its own account of each plan that it makes.

The embedded PostgreSQL lacks pg_stat_statements. `log_planner_stats` is part of every server: it logs the processor
time of each planning with the statement it was for. So the statements are those that the services really send, with
the batch sizes and the plan cache of the real connections; a statement whose plan was kept logs nothing and costs
nothing.
"""

from __future__ import annotations

import re
import statistics
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from taskyard_dev.servers import Postgres

# Statements of the measuring code carry it, and are not counted.
OURS = "/* cost */"

_PLAN = re.compile(
    r"LOG:  PLANNER STATISTICS\n.*?DETAIL:  .*\n"
    r"\t!\t(?P<user>[\d.]+) s user, (?P<system>[\d.]+) s system, .*\n"
    r"(?:\t.*\n)*?.*STATEMENT:  (?P<statement>.*\n(?:\t.*\n)*)"
)


@dataclass
class Planned:
    """Processor seconds of each plan, by statement."""

    seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    @property
    def total_seconds(self) -> float:
        return sum(map(sum, self.seconds.values()))

    def by_statement(self) -> list[dict[str, object]]:
        """For `--json`: the dearest first, times in microseconds."""
        ordered = sorted(self.seconds.items(), key=lambda item: -sum(item[1]))
        return [
            {
                "statement": statement[:100],
                "plans": len(seconds),
                "median_us": round(statistics.median(seconds) * 1e6, 1),
                "total_us": round(sum(seconds) * 1e6),
            }
            for statement, seconds in ordered
        ]


@contextmanager
def planning(postgres: Postgres) -> Iterator[Planned]:
    """Fills what it yields once the block has ended."""
    planned = Planned()
    _switch(postgres, "on")
    start = postgres.log.stat().st_size
    try:
        yield planned
    finally:
        _switch(postgres, "off")
    with postgres.log.open("rb") as log:
        log.seek(start)
        text = log.read().decode(errors="replace")
    for plan in _PLAN.finditer(text):
        statement = " ".join(plan["statement"].split())
        if OURS not in statement:
            planned.seconds[statement].append(float(plan["user"]) + float(plan["system"]))


def _switch(postgres: Postgres, value: str) -> None:
    with postgres.connect() as conn:
        for statement in (f"ALTER SYSTEM SET log_planner_stats = {value}", "SELECT pg_reload_conf()"):
            conn.execute(f"{statement} {OURS}".encode())
    time.sleep(0.3)  # each backend reads it before its next command

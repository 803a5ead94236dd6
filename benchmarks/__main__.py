"""`python -m benchmarks`: starts the servers and the services, runs the rounds, prints the tables. Exits with 1 where a
step costs more in a full ledger than its bar allows."""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from pathlib import Path
from typing import Any

from benchmarks import ledgers
from benchmarks.checkout import PROCESSES, THREADS, Checkout
from benchmarks.load import SINGLE
from benchmarks.rounds import Rounds
from taskyard_dev.home import temporary
from tests.integration.store.seeding import MILLION
from tests.support.fleet import wait_for


def main() -> int:
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="alternating rounds; medians are printed (5)")
    parser.add_argument("--quick", action="store_true", help="a quarter of the work, two rounds: to try it")
    parser.add_argument("--json", action="store_true", help="print every figure of every round as JSON")
    parser.add_argument("--only", choices=("dramatiq", "ledgers"), help="one of the two comparisons")
    options = parser.parse_args()
    count = 2 if options.quick else options.rounds
    checkout = Checkout.at(Path(__file__).parents[1])
    figures: dict[str, Any] = {}
    tables = []
    with temporary("bench") as home:
        if options.only != "ledgers":
            figures["dramatiq"] = _beside_dramatiq(
                checkout, home / "stack", count, scale=0.25 if options.quick else 1.0
            )
            tables.append(_table(figures["dramatiq"], count))
        if options.only != "dramatiq":
            rows = MILLION // 10 if options.quick else MILLION
            figures["ledgers"] = ledgers.compare(checkout, home / "ledgers", rounds=count, rows=rows)
            tables.append(ledgers.table(figures["ledgers"], count, rows))
    print(json.dumps(figures, indent=1) if options.json else "\n\n".join(tables))
    slow = ledgers.over_the_bar(figures["ledgers"]) if "ledgers" in figures else []
    for title in slow:
        print(f"over {ledgers.BAR} times in the full ledger: {title}", file=sys.stderr)
    return 1 if slow else 0


def _beside_dramatiq(checkout: Checkout, home: Path, count: int, *, scale: float) -> dict[str, list[float]]:
    with checkout.stack(home) as stack, stack.api(), stack.valkey.client() as redis:
        # Nothing is accepted before a worker has registered task types.
        with stack.worker():
            wait_for(lambda: stack.accepts(SINGLE), 30, "the task types to be known", every=0.1)
        rounds = Rounds(stack, redis, scale=scale)
        for number in range(1, count + 1):
            print(f"round {number} of {count}", file=sys.stderr, flush=True)
            rounds.round()
    return rounds.figures


def _table(figures: dict[str, list[float]], rounds: int) -> str:
    """The table of README: figure, Taskyard, bare Dramatiq, ratio, and the bar the ratio is held to."""
    median = {name: statistics.median(values) for name, values in figures.items()}
    p99 = {name: _percentile(figures[name], 0.99) for name in ("latency", "bare_latency")}
    mib = 1024**2
    rows = [
        ("submits/s over HTTP, 1 a request", median["submits_1"], median["send"], ">= 0.8"),
        ("submits/s over HTTP, 100 a request", median["submits_100"], median["send"], ">= 4"),
        ("completions/s, no-op tasks", median["completions"], median["bare_completions"], ">= 1.0"),
        ("idle submit to start, p50, ms", median["latency"] * 1e3, median["bare_latency"] * 1e3, "<= 0.1"),
        ("idle submit to start, p99, ms", p99["latency"] * 1e3, p99["bare_latency"] * 1e3, ""),
        ("fan-out of 1,000 steps and join, s", median["fan"], median["bare_fan"], ""),
        ("chain of 100, ms a step", median["link"] * 1e3, median["bare_link"] * 1e3, ""),
        ("idle worker, MiB (PSS)", median["memory"] / mib, median["bare_memory"] / mib, ""),
    ]
    lines = [
        f"Medians of {rounds} alternating rounds; worker: {PROCESSES} processes of {THREADS} threads.",
        "Submits are compared with bare Dramatiq's send() in a loop, which records nothing.",
        "",
        f"| {'figure':<36} | {'Taskyard':>9} | {'Dramatiq':>9} | {'ratio':>6} | {'bar':<6} |",
        f"| {'-' * 36} | {'-' * 8}: | {'-' * 8}: | {'-' * 5}: | {'-' * 6} |",
    ]
    for name, ours, theirs, bar in rows:
        lines.append(f"| {name:<36} | {ours:9,.1f} | {theirs:9,.1f} | {ours / theirs:6.3f} | {bar:<6} |")
    return "\n".join(lines)


def _percentile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


if __name__ == "__main__":
    sys.exit(main())

"""`python -m benchmarks`: starts the servers and the services, runs the rounds, prints the tables. Exits with 1 where a
bar is missed: of the figures beside bare Dramatiq, of what a step costs in a full ledger, or of what a page of the
console costs beside its calls of the API."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from benchmarks import children, console, ledgers
from benchmarks.checkout import Checkout
from benchmarks.peers import peers
from benchmarks.report import Report
from benchmarks.rounds import Rounds
from taskyard_dev.home import temporary
from tests.integration.store.seeding import MILLION


def main() -> int:
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="alternating rounds; medians are printed (5)")
    parser.add_argument("--quick", action="store_true", help="a quarter of the work, two rounds: to try it")
    parser.add_argument("--peers", type=Path, metavar="PYTHON", help="Celery, Huey and a stack by hand, too: theirs")
    parser.add_argument("--json", action="store_true", help="print every figure of every round as JSON")
    parser.add_argument("--only", choices=("dramatiq", "ledgers", "console"), help="one of them")
    parser.add_argument("--pages", default="", help="of the console: those with this text in their addresses")
    options = parser.parse_args()
    count = 2 if options.quick else options.rounds
    checkout = Checkout.at(Path(__file__).parents[1])
    figures: dict[str, Any] = {}
    tables = []
    missed: list[str] = []
    rows = MILLION // 10 if options.quick else MILLION
    with temporary("bench") as home:
        if options.only in (None, "dramatiq"):
            report = _beside_dramatiq(
                checkout, home / "stack", count, is_quick=options.quick, peers_python=options.peers
            )
            figures["dramatiq"] = asdict(replace(report, peers=()))
            tables.append(str(report))
            missed += [
                f"missed: {bar.title} is {bar.value:.2f}, not {bar.wanted}" for bar in report.bars() if not bar.is_met
            ]
        if options.only in (None, "ledgers"):
            figures["ledgers"] = ledgers.compare(checkout, home / "ledgers", rounds=count, rows=rows)
            tables.append(ledgers.table(figures["ledgers"], count, rows))
            missed += [
                f"over {ledgers.BAR} times in the full ledger: {one}"
                for one in ledgers.over_the_bar(figures["ledgers"])
            ]
        if options.only in (None, "console"):
            seen = console.measure(checkout, home / "console", rows=rows, only=options.pages)
            figures["console"] = asdict(seen)
            tables.append(console.table(seen, rows))
            missed += [f"over {console.BAR} times its calls of the API: {one}" for one in seen.slow]
    print(json.dumps(figures, indent=1) if options.json else "\n\n".join(tables))
    for said in missed:
        print(said, file=sys.stderr)
    return 1 if missed else 0


def _beside_dramatiq(
    checkout: Checkout, home: Path, count: int, *, is_quick: bool, peers_python: Path | None
) -> Report:
    with checkout.stack(home) as stack, stack.valkey.client() as redis, stack.api() as api:
        stack.wait_until_task_types_are_known()
        compared = peers(stack, peers_python.absolute()) if peers_python else []
        rounds = Rounds(stack, api, redis, scale=0.25 if is_quick else 1.0, peers=compared)
        rounds.warm_up()
        for number in range(1, count + 1):
            print(f"round {number} of {count}", file=sys.stderr, flush=True)
            rounds.round()
        print("memory, successors, idle cost", file=sys.stderr, flush=True)
        memory = [
            children.memory(stack, processes, 2_000 if is_quick else children.TASKS) for processes in children.COUNTS
        ]
        successors = children.successors(stack, 3 if is_quick else children.KILLS)
        at_rest = rounds.at_rest(5 if is_quick else 20)
        return Report(count, dict(rounds.figures), rounds.samples, memory, successors, at_rest, compared)


if __name__ == "__main__":
    sys.exit(main())

"""`python -m tests.alerts_drill --only redis-away`: 0 where each alert fired that had to, and was over afterwards."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from pathlib import Path

from . import __doc__ as purpose
from .course import Course, Times, run
from .faults import FAULTS, Fault
from .report import table


def main() -> int:
    names = [fault.name for fault in FAULTS]
    parser = argparse.ArgumentParser(prog="python -m tests.alerts_drill", description=purpose)
    parser.add_argument("--only", action="append", choices=names, help="a fault; may be given several times")
    parser.add_argument("--parallel", type=int, default=4, help="so many stacks side by side")
    parser.add_argument("--healthy", type=float, default=3.0, help="minutes before the fault")
    parser.add_argument("--minutes", type=float, default=35.0, help="in which the alert has to be told")
    parser.add_argument("--others", type=float, default=2.0, help="minutes in which others may follow it")
    parser.add_argument("--mended", type=float, default=40.0, help="minutes in which it and all pages have to be over")
    parser.add_argument("--table", type=Path, help="a file for the table, written anew after each fault")
    parser.add_argument(
        "--keep", action="store_true", help="with one --only: keep the faulty stack until a line is written"
    )
    options = parser.parse_args()
    if options.keep and len(options.only or ()) != 1:
        parser.error("--keep needs one --only")
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    times = Times(
        healthy=60 * options.healthy,
        fault=60 * options.minutes,
        others=60 * options.others,
        mended=60 * options.mended,
        ended=ended,
    )
    wanted = [fault for fault in FAULTS if not options.only or fault.name in options.only]
    keep = _kept if options.keep else None
    courses: list[Course] = []
    with ThreadPoolExecutor(options.parallel) as threads:
        under_way = {threads.submit(run, fault, times, _sayer(fault), keep): fault for fault in wanted}
        for course in as_completed(under_way):
            courses.append(_end_of(under_way[course], course))
            if options.table:
                options.table.write_text("".join(table(courses)))
    print("".join(table(courses)))
    wrong = [f"{course.fault.name}: {words}" for course in courses for words in course.wrong]
    print("\n".join(wrong) or "each alert fired that had to, and was over afterwards", flush=True)
    return 1 if wrong else 0


def _sayer(fault: Fault) -> Callable[[str], None]:
    def say(what: str) -> None:
        print(f"{time.strftime('%H:%M:%S')}  {fault.name}: {what}", flush=True)

    return say


def _end_of(fault: Fault, course: Future[Course]) -> Course:
    """A stack that breaks is one line of the table; the other stacks go on."""
    if (error := course.exception()) is None:
        return course.result()
    traceback.print_exception(error)
    return Course(fault, broken=f"{type(error).__name__}: {error}"[:300])


def _kept(addresses: str) -> None:
    print(f"set -a; . {addresses}; set +a    # the stack keeps its fault until you write a line here", flush=True)
    sys.stdin.readline()


if __name__ == "__main__":
    sys.exit(main())

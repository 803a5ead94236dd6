"""`python -m benchmarks.frames CHECKOUT...`: how deep a submit is.

Lists and counts the frames of our own modules (`shared/`, `services/`) from the responder of `POST /tasks` down to
SQLAlchemy's `execute` of the statement that inserts the task: the chain of coroutines that the responder awaits, what
hands the call over to a thread, and the stack of that thread. `execute` itself is not counted. Middleware and the
wrappers above the responder are not counted either.

benchmarks/frames_probe.py looks, inside the checkout's own API.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from benchmarks.checkout import Checkout
from benchmarks.load import SINGLE
from taskyard_dev.home import temporary
from tests.support.fleet import wait_for


def frames(checkout: Checkout, home: Path) -> dict[str, list[str]]:
    """By place, the outermost first."""
    report = home / "frames.json"
    probe = Path(__file__).with_name("frames_probe.py")
    program = [checkout.command("python"), "-P", str(probe), str(checkout.path), str(report)]
    with checkout.stack(home) as stack, stack.api(*program):
        stack.submit(SINGLE, 1)
        wait_for(report.exists, 10, "the report of the frames")
    found: dict[str, list[str]] = json.loads(report.read_text("utf-8"))
    return found


def main() -> int:
    parser = argparse.ArgumentParser(prog="benchmarks.frames", description=__doc__.partition("\n")[0])
    parser.add_argument("checkouts", type=Path, nargs="+", metavar="CHECKOUT", help="with its own .venv")
    options = parser.parse_args()
    with temporary("frames") as home:
        for number, path in enumerate(options.checkouts):
            checkout = Checkout.at(path)
            found = frames(checkout, home / str(number))
            print(f"{checkout.path} ({checkout.commit}): {sum(map(len, found.values()))} frames")
            for place, functions in found.items():
                print(f"  {place}: {len(functions)}")
                for function in functions:
                    print(f"    {function}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

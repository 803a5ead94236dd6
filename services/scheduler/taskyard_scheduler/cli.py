"""The entry point of `taskyard-scheduler`.

`healthcheck` is handled here, with a handful of small imports: a container runs it every few seconds, and it only
reads the age of a file."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from taskyard.output import run_program
from taskyard.telemetry.heartbeat import Heartbeat


def main(argv: Sequence[str] | None = None) -> None:
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments == ["healthcheck"]:
        sys.exit(healthcheck(os.environ.get("TASKYARD_HEALTH_FILE") or None))
    from .commands import app

    run_program("taskyard-scheduler", partial(app, arguments, prog_name="taskyard-scheduler"))


def healthcheck(path: str | None) -> int:
    """Returns 0 while the main loop turns, else 1 with one line on standard error."""
    problem = Heartbeat("scheduler", Path(path) if path else None).problem()
    if problem is not None:
        sys.stderr.write(f"unhealthy: {problem}\n")
        return 1
    return 0


if __name__ == "__main__":
    main()

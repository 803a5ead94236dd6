"""The entry point of `taskyard-scheduler`.

`healthcheck` is handled here, with a handful of small imports: a container runs it every few seconds, and it only
reads the age of a file."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> None:
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments == ["healthcheck"]:
        from .health import healthcheck

        sys.exit(healthcheck(os.environ.get("TASKYARD_HEALTH_FILE") or None))
    from .commands import app

    app(arguments, prog_name="taskyard-scheduler")


if __name__ == "__main__":
    main()

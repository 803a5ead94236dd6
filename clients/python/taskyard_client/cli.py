"""`taskyard-client`: the relay of an application's outbox."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
from collections.abc import Sequence

_FAILED, _USAGE = 1, 2


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="taskyard-client", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("outbox-table", help="print the statements that make the table of the outbox")
    relay = commands.add_parser(
        "relay",
        help="submit what stands in the outbox of a database, until SIGTERM or Ctrl-C",
        description="Needs TASKYARD_API_KEY, a key with the scope `submit`.",
    )
    relay.add_argument("--database-url", default=os.environ.get("TASKYARD_OUTBOX_URL"), help="TASKYARD_OUTBOX_URL")
    relay.add_argument("--url", default=os.environ.get("TASKYARD_URL"), help="of the API: TASKYARD_URL")
    relay.add_argument("--once", action="store_true", help="end when nothing is left")
    relay.add_argument("--retry-refused", action="store_true", help="first make the refused rows due again")
    given = parser.parse_args(arguments)
    if given.command == "outbox-table":
        from .outbox import TABLE

        sys.stdout.write(TABLE.lstrip())
        return 0
    key = os.environ.get("TASKYARD_API_KEY")
    missing = [
        name
        for name, value in (
            ("TASKYARD_OUTBOX_URL", given.database_url),
            ("TASKYARD_URL", given.url),
            ("TASKYARD_API_KEY", key),
        )
        if not value
    ]
    if missing:
        sys.stderr.write(f"taskyard-client relay: not set: {', '.join(missing)}\n")
        return _USAGE
    return _relay(given, str(key))


def _relay(given: argparse.Namespace, key: str) -> int:
    try:
        import psycopg

        from .relay import Relay
    except ImportError:
        sys.stderr.write("taskyard-client relay: psycopg is missing: pip install taskyard-client[relay]\n")
        return _USAGE
    from .client import Client
    from .errors import ClientError

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("httpx2").setLevel(logging.WARNING)
    try:
        made = Client(given.url, key)
    except ValueError as e:
        sys.stderr.write(f"taskyard-client relay: {e}\n")
        return _USAGE
    with made as client:
        relay = Relay(given.database_url, client)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: relay.stop())
        try:
            if given.retry_refused:
                relay.retry_refused()
            if given.once:
                relay.drain()
            else:
                relay.run()
        except (ClientError, psycopg.Error) as e:
            sys.stderr.write(f"taskyard-client relay: {e}\n")
            return _FAILED
    return 0


if __name__ == "__main__":
    sys.exit(main())

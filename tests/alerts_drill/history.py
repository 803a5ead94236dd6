"""Three healthy days before the drill: without them, windows of hours and days would hold nothing but the fault."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

_DAYS = 3
_EVERY_SECONDS = 30  # the interval of the groups that record these
_UNTIL_SECONDS_AGO = 60
_ORDINARY = 2.0  # tasks and requests a second
# Recorded series that longer windows are made of, with their values when all is well.
SERIES = {
    "namespace:taskyard_tasks_failed:rate5m": 0.0,
    "namespace:taskyard_tasks_ended:rate5m": _ORDINARY,
    'namespace_queue:taskyard_tasks_late:rate5m{queue="default"}': 0.0,
    'namespace_queue:taskyard_tasks_late:rate5m{queue="high_priority"}': 0.0,
    'namespace_queue:taskyard_tasks_begun:rate5m{queue="default"}': _ORDINARY / 2,
    'namespace_queue:taskyard_tasks_begun:rate5m{queue="high_priority"}': _ORDINARY / 4,
    "namespace:taskyard_requests_failed:rate5m": 0.0,
    "namespace:taskyard_requests:rate5m": _ORDINARY,
    'namespace_queue:taskyard_queue_queued:max{queue="default"}': 0.0,
    'namespace_queue:taskyard_queue_queued:max{queue="geo_processing"}': 0.0,
}


def write_history(home: Path) -> None:
    """Into the data of the Prometheus that is started in `home` next."""
    text, blocks = home / "history.om", home / "tsdb"
    text.write_text("".join(_lines(int(time.time()) - _UNTIL_SECONDS_AGO)))
    blocks.mkdir()
    subprocess.run(
        ["promtool", "tsdb", "create-blocks-from", "openmetrics", text, blocks], check=True, capture_output=True
    )
    text.unlink()


def _lines(until: int) -> Iterator[str]:
    moments = range(until - _DAYS * 86_400, until, _EVERY_SECONDS)
    for series, value in SERIES.items():
        yield from (f"{series} {value} {moment}\n" for moment in moments)
    yield "# EOF\n"

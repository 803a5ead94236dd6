"""Receivers of traces and reports that are away or hang, under real processes."""

from __future__ import annotations

import json
import signal
import time
from typing import Any

import pytest

from tests.support.fleet import Fleet, free_port
from tests.support.otlp import collector
from tests.support.sentry import sentry_server

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]


def lines(fleet: Fleet, service: str) -> list[dict[str, Any]]:
    (log,) = fleet.home.glob(f"*-taskyard-{service}.log")
    return [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]


@pytest.mark.parametrize("hanging", ["traces", "reports"])
@pytest.mark.long
def test_receivers_that_are_away_or_hang_cost_what_was_for_them_and_nothing_else(fleet: Fleet, hanging: str) -> None:
    """One hangs, and nothing listens at the address of the other."""
    with collector() as otlp, sentry_server() as sentry:
        otlp.answer_now.clear()
        sentry.answer_now.clear()
        nowhere = f"127.0.0.1:{free_port()}"
        fleet.environment |= {
            "OTEL_EXPORTER_OTLP_ENDPOINT": otlp.url if hanging == "traces" else f"http://{nowhere}",
            "OTEL_BSP_SCHEDULE_DELAY": "100",
            "OTEL_BSP_MAX_QUEUE_SIZE": "64",
            "SENTRY_DSN": sentry.dsn if hanging == "reports" else f"http://key@{nowhere}/7",
        }
        began = time.monotonic()
        fleet.start_all()
        ids = fleet.submit_many(300, "diagnostics.echo", {"value": 1})
        ids += [fleet.submit("diagnostics.fail", {"kind": "permanent"}) for _ in range(5)]
        assert fleet.wait_final(ids, 60) == {"succeeded": 300, "failed": 5}
        for process in fleet.processes:
            process.send_signal(signal.SIGTERM)
        assert [process.wait(30) for process in fleet.processes] == [0, 0, 0]
        minutes = int((time.monotonic() - began) // 60)

        assert not otlp.spans
        assert not sentry.events
        told = [line["event"] for line in lines(fleet, "worker")]
        assert "spans_lost" in told or "exports_unsent" in told, "the loss is told"
        assert "reports_lost" in told or "exports_unsent" in told
        for event in ("spans_lost", "reports_lost"):
            assert told.count(event) <= 2 + minutes, "at once, each minute, and at the end"
        log = "".join(path.read_text() for path in fleet.home.glob("*.log"))
        assert "urllib3" not in log, "and not for each attempt to connect"
        assert "Retrying" not in log

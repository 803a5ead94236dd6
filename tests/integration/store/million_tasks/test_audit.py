"""Pages of the audit log."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa

from taskyard.store import audit
from tests.integration.store.million_tasks.seeded import Seeded

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("plans"), pytest.mark.timeout(300)]


AUDITED: list[dict[str, Any]] = [
    {},
    {"action": audit.Action.TASK_CANCEL},
    {"action": audit.Action.KEY_REVOKE},
    {"action": audit.Action.KEY_CREATE},
    {"actor": "ci"},
    {"actor": "rare"},
    {"actor": "ci", "action": audit.Action.KEY_REVOKE},
    {"actor": "ops", "action": audit.Action.TASK_CANCEL},
]


@pytest.mark.parametrize("wanted", AUDITED, ids=str)
def test_a_page_of_the_audit_log_is_flat(seeded: Seeded, wanted: dict[str, Any]) -> None:
    # An actor without any cancellation, and an action that is old and rare, must not cause a scan of all other rows.
    seeded.measure(lambda conn: audit.page(conn, audit.AuditFilter(**wanted)), pages=150)
    row = seeded.conn.execute(sa.text("SELECT id, at FROM audit ORDER BY id OFFSET 100000 LIMIT 1")).one()
    at = {**wanted, "target": str(row.id)}
    seeded.measure(lambda conn: audit.page(conn, audit.AuditFilter(**at)), pages=20)
    seeded.measure(lambda conn: audit.page(conn, audit.AuditFilter(**wanted), before_id=row.id), pages=150)


def test_a_span_of_the_audit_log_reads_that_span_and_the_skew_of_clocks(seeded: Seeded) -> None:
    # The seed has 1,000 changes a second, so that the room for skewed clocks holds all of them but a few.
    at = seeded.conn.execute(sa.text("SELECT at FROM audit ORDER BY id OFFSET 100000 LIMIT 1")).scalar_one()
    for span in ({"after": at}, {"before": at}):
        seeded.measure(lambda conn, span=span: audit.page(conn, audit.AuditFilter(**span)), pages=6000)  # type: ignore[misc]

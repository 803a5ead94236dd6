"""A newsletter from its upload to the mailboxes: real services, and a mail server that wants STARTTLS and a login."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.support.certificates import Authority
from tests.support.fleet import Fleet, wait_for
from tests.support.mail_server import LOGIN, mail_server

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]


@pytest.mark.long
def test_a_newsletter_whose_worker_dies_in_the_middle_reaches_everyone_once(fleet: Fleet, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    with mail_server(tmp_path / "mails", authority) as server:
        fleet.environment |= {
            "TASKYARD_SMTP_HOST": "127.0.0.1",
            "TASKYARD_SMTP_PORT": str(server.port),
            "TASKYARD_SMTP_USER": LOGIN[0],
            "TASKYARD_SMTP_PASSWORD": LOGIN[1],
            "TASKYARD_MAIL_FROM": "Yard <yard@example.com>",
            "SSL_CERT_FILE": str(authority.certificate),
            # After the second batch is submitted, and before that is marked.
            "TASKYARD_FAILPOINTS": "mark.before:2",
        }
        fleet.start_api()
        fleet.start_scheduler()
        fleet.start_worker(queues="low_priority,default", threads=1)
        listed = [f"to-{n}@example.org" for n in range(248)]
        lines = [*listed, "TO-7@example.org", "no address", "refused-a@example.org", ""]
        item = fleet.http.post("/tree-items", content="\n".join(lines), headers={"X-Filename": "list.txt"})
        assert item.status_code == 201, item.text

        task_id = fleet.submit(
            "email.send_newsletter",
            {"item_id": item.json()["item_id"], "subject": "News", "text": "It is spring.", "language": "hu"},
        )
        fleet.wait_state(task_id, "succeeded", seconds=60)
        children = fleet.query("SELECT id::text FROM task WHERE parent_id = CAST(:id AS uuid)", id=task_id)
        ended = fleet.wait_final([row.id for row in children], 90)

        row = fleet.task(task_id)
        assert (row.crashes, row.failures) == (1, 0)
        assert row.result == {"recipients": 249, "duplicates": 1, "skipped": 1, "skipped_lines": [250]}
        assert ended == {"succeeded": 248, "failed": 1}
        assert Counter(server.recipients()) == Counter(listed)
        ids = [message["Message-ID"] for message in server.messages()]
        assert {one.strip("<>").partition("@")[0] for one in ids} < {child.id for child in children}
        assert "feliratkozott" in server.messages()[0].get_body(("plain",)).get_content()  # type: ignore[union-attr]
        # One thread, two processes of which one died before it sent anything, and 100 messages a connection.
        assert server.connections() <= 4
        wait_for(lambda: fleet.http.get(f"/tasks/{task_id}").json()["progress"]["percent"] == 100, 10)

"""Three things that have gone wrong at a console's stack, and a person who counts what looking into them takes."""

from __future__ import annotations

import io
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import sqlalchemy as sa
from PIL import Image, ImageDraw
from playwright.sync_api import Locator, Page

from taskyard.store import ledger
from taskyard_client import Client, NewTask
from taskyard_client.options import Limits
from tests.support.browsing import Stack
from tests.support.docs import DOCS
from tests.support.fleet import wait_for

MAIL_QUEUE = "low_priority"
MAILS = 40
_CONTENT = b"id,name,city\n1,Ada,London\n2,Grace,New York\n3,Klara,Szeged\n"
# Enough to have the open errors of the overview, and the first rows of each list, to themselves.
_OTHERS = [
    *(NewTask("diagnostics.echo", {"value": n}, tags=["customer:initech"]) for n in range(1_000)),
    *(
        NewTask("diagnostics.fail", {"kind": "transient"}, queue=queue, max_attempts=1)
        for queue in ("high_priority", "default")
        for _ in range(50)
    ),
    *(
        NewTask("files.generate_thumbnail", {"item_id": str(uuid4())}, queue=queue)
        for queue in ("high_priority", "default", "low_priority")
        for _ in range(50)
    ),
]
_GROUPS_OF_OTHERS = 5
_ROOT = DOCS.parent


@dataclass(frozen=True)
class Scene:
    """`import_id`: the task that failed last night, because the content of its file, `file`, was not there."""

    client: Client
    import_id: UUID
    file: Path

    def put_the_file_back(self) -> None:
        _away(self.file).rename(self.file)


@contextmanager
def errands(stack: Stack) -> Iterator[Scene]:
    """Last night's import failed, before more than a thousand other tasks and their failures; a customer submitted 300
    tasks by mistake; and a queue that was paused an hour ago holds mails. The leader has counted all of it."""
    client, began = stack.client, datetime.now(UTC)
    engine = ledger.make_engine(stack.env["TASKYARD_DATABASE_URL"], pool_size=1)
    try:
        scene = _failed_import(stack, engine)
        for first in range(0, len(_OTHERS), 1_000):
            last = client.submit_many(_OTHERS[first : first + 1_000])[-1]
        client.wait(last.id, timeout=120)  # which is in the queue that is paused next
        with _paused_mails(stack, engine):
            _customer_s_mistake(client)
            wait_for(lambda: "file_missing" not in _newest_errors(client), 120, every=0.5)
            _fill_the_hour_before(engine)
            yield scene
    finally:
        engine.dispose()
        for tag in ("customer:acme", "customer:globex"):
            client.operations.start("cancel", tag=tag)
        client.operations.start("discard", created_after=began)


def _failed_import(stack: Stack, engine: sa.Engine) -> Scene:
    client, night = stack.client, (datetime.now(UTC) - timedelta(hours=12)).replace(minute=0, second=0, microsecond=0)
    item = client.files.upload(_CONTENT, name="customers.csv")
    schedule = client.schedules.create(
        name="nightly import",
        task={"name": "files.import_data", "params": {"item_id": str(item.item_id), "collection": "customers"}},
        trigger={"cron": f"0 {night.hour} * * *", "timezone": "UTC"},
    )
    stored = stack.data_dir / "storage"
    file = next(one for one in stored.rglob("*") if one.is_file() and one.read_bytes() == _CONTENT)
    file.rename(_away(file))
    task_id = client.schedules.trigger(schedule.id).task_id
    assert task_id is not None
    assert client.wait(task_id, timeout=60).state == "failed"
    wait_for(lambda: "file_missing" in _newest_errors(client), 60, every=0.5)
    _make_it_last_night(engine, task_id, night)
    return Scene(client, task_id, file)


def _make_it_last_night(engine: sa.Engine, task_id: UUID, night: datetime) -> None:
    """All that tells a time of the task, as if its schedule had submitted it then."""
    quarters = (datetime.now(UTC) - night) // timedelta(minutes=15)
    values = {"id": task_id, "since": quarters * timedelta(minutes=15), "night": night}
    moved = {
        "task": ("id = :id", ["created_at", "run_at", "queued_at", "started_at", "finished_at"]),
        "task_attempt": ("task_id = :id", ["started_at", "finished_at"]),
        "task_event": ("task_id = :id", ["at"]),
        "error_group": (":id = ANY(task_ids)", ["first_seen_at", "last_seen_at"]),
        "error_count": ("span = 'day' AND group_id = (SELECT id FROM error_group WHERE :id = ANY(task_ids))", ["at"]),
    }
    with engine.begin() as conn:
        for table, (condition, columns) in moved.items():
            changes = ", ".join(f"{column} = {column} - :since" for column in columns)
            conn.execute(sa.text(f"UPDATE {table} SET {changes} WHERE {condition}"), values)
        group = "(SELECT id FROM error_group WHERE :id = ANY(task_ids))"
        conn.execute(sa.text(f"DELETE FROM error_count WHERE span = 'hour' AND group_id = {group}"), values)
        fired = "UPDATE schedule_fire SET due_at = :night, fired_at = :night, by_hand = false WHERE task_id = :id"
        conn.execute(sa.text(fired), values)


def _customer_s_mistake(client: Client) -> None:
    """Of 300 tasks 2 run, 98 wait, and 200 are scheduled; another customer's look alike."""
    for customer, count in (("globex", 100), ("acme", 300)):
        tags, report = [f"customer:{customer}"], {"report_type": "tasks"}
        limits: Limits = {"key": customer, "concurrent": 2}
        tomorrow = [
            NewTask("reports.generate", report, tags=tags, delay_seconds=86_400) for _ in range(count - count // 3)
        ]
        waiting = [NewTask("reports.generate", report, tags=tags, limits=limits) for _ in range(count // 3 - 2)]
        running = [NewTask("diagnostics.sleep", {"seconds": 3_600}, tags=tags, limits=limits) for _ in range(2)]
        client.submit_many([*running, *waiting, *tomorrow])


@contextmanager
def _paused_mails(stack: Stack, engine: sa.Engine) -> Iterator[None]:
    """Somebody paused the queue 65 minutes ago, and since then mails have come into it."""
    key = stack.client.keys.create("anna", ["manage"]).key
    assert key is not None
    with Client(stack.env["TASKYARD_URL"], key) as anna:
        anna.queues.pause(MAIL_QUEUE)
    try:
        tasks = [NewTask("email.send", _mail(n), queue=MAIL_QUEUE) for n in range(MAILS)]
        ids = [one.id for one in stack.client.submit_many(tasks)]
        with engine.begin() as conn:
            conn.execute(
                sa.text("UPDATE queue SET paused_at = paused_at - interval '65 minutes' WHERE name = :name"),
                {"name": MAIL_QUEUE},
            )
            conn.execute(
                sa.text(
                    "UPDATE task SET created_at = created_at - before, queued_at = queued_at - before,"
                    " run_at = run_at - before"
                    " FROM (SELECT one, (63 - n) * interval '1 minute' AS before"
                    " FROM unnest(CAST(:ids AS uuid[])) WITH ORDINALITY AS i(one, n)) s WHERE id = one"
                ),
                {"ids": ids},
            )
        yield
    finally:
        stack.client.queues.resume(MAIL_QUEUE)


def _fill_the_hour_before(engine: sa.Engine) -> None:
    """For the charts: what ran in the last minutes did so all the time, and the mails came in one a minute."""
    ran = """
        INSERT INTO task_count (span, at, queue, name, succeeded, failed, run_seconds, wait_seconds, runs, waits)
        SELECT span, at - m * interval '1 minute', queue, name, succeeded * f / 10, failed * f / 10,
            run_seconds * f / 10, wait_seconds * f / 10, runs, waits
        FROM task_count, generate_series(1, 58) m, LATERAL (SELECT 4 + m * 7 % 5 AS f) s
        WHERE span = 'hour' ON CONFLICT DO NOTHING"""
    waited = """
        INSERT INTO queue_sample (queue, span, at, state, samples, total, most)
        SELECT :queue, 'hour', date_trunc('minute', now()) - m * interval '1 minute', 'queued', 1, n, n
        FROM generate_series(1, 58) m, LATERAL (SELECT least(:mails, 63 - m) AS n) s ON CONFLICT DO NOTHING"""
    with engine.begin() as conn:
        old = "DELETE FROM task_count WHERE span = 'hour' AND (name = 'files.import_data' OR queue = :queue)"
        conn.execute(sa.text(old), {"queue": MAIL_QUEUE})
        conn.execute(sa.text(ran))
        conn.execute(sa.text(waited), {"queue": MAIL_QUEUE, "mails": MAILS})


def _mail(number: int) -> dict[str, str]:
    return {"to_email": f"reader-{number}@example.org", "subject": "Your invoice", "text": "It is attached."}


def _newest_errors(client: Client) -> set[str]:
    """The codes of the errors that the overview shows."""
    return {group.code for group in client.errors.page(state="open", limit=_GROUPS_OF_OTHERS).items}


def _away(file: Path) -> Path:
    return file.with_name(f"{file.name}.away")


class Hand:
    """Does what a person does on a page, and counts it. With `pictures`, it keeps pictures with what is pressed next
    in a frame, and without the names of the machine and of its directories."""

    def __init__(self, page: Page, pictures: Path | None) -> None:
        self.page = page
        self._pictures = pictures
        self.clicks = 0
        self.fields = 0

    def click(self, what: Locator, picture: str = "") -> None:
        if picture:
            self.keep(picture, what)
        what.click()
        self.clicks += 1

    def fill(self, what: Locator, text: str) -> None:
        what.fill(text)
        self.fields += 1

    def keep(self, name: str, framed: Locator | None = None) -> None:
        if self._pictures is None:
            return
        if framed is not None:
            framed.scroll_into_view_if_needed()
        self.page.evaluate(_WITHOUT_NAMES, [[socket.gethostname(), "yard"], [str(_ROOT), "/srv/taskyard"]])
        box = None if framed is None else framed.bounding_box()
        with Image.open(io.BytesIO(self.page.screenshot())) as shot:
            image = shot.convert("RGB")
        if box is not None:
            x, y, right, bottom = box["x"], box["y"], box["x"] + box["width"], box["y"] + box["height"]
            ImageDraw.Draw(image).rectangle((x - 5, y - 5, right + 5, bottom + 5), outline="#c2185b", width=3)
        image.quantize(64, dither=Image.Dither.NONE).save(self._pictures / f"{name}.png", optimize=True)


_WITHOUT_NAMES = """names => {
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode())
    for (const [name, other] of names)
      texts.currentNode.data = texts.currentNode.data.replaceAll(name, other);
}"""


def promised() -> dict[str, tuple[int, int]]:
    """What docs/console.md says an errand takes: clicks, and fields that are filled in."""
    rows = re.findall(r"^\| ([^|]+) \| (\d+) \| (\d+) \|", (DOCS / "console.md").read_text("utf-8"), re.MULTILINE)
    return {errand: (int(clicks), int(fields)) for errand, clicks, fields in rows}

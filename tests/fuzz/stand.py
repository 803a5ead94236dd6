"""The stack that is fuzzed, and what is noticed while it is."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from tests.integration.api.conftest import new_key
from tests.support.fleet import KEY, Fleet

from .corpus import Body

QUEUES = ("high_priority", "default", "low_priority")
# Each of their tasks starts a process: most of what is sent there still waits at the end.
SLOW_QUEUES = ("geo_processing", "selection")
_LOOKS_EVERY = 0.25
_ALIVE_WITHIN = 10.0
_MOST_SHOWN = 1_500


@dataclass(frozen=True, slots=True)
class Finding:
    """A promise that was broken."""

    what: str
    told: str
    sent: str = ""

    def __str__(self) -> str:
        return f"{self.what}: {self.told[:_MOST_SHOWN]}" + (
            f"\n    sent: {self.sent[:_MOST_SHOWN]}" if self.sent else ""
        )


@dataclass(slots=True)
class Notes:
    """What was sent and found so far."""

    secret: str
    findings: list[Finding] = field(default_factory=list)
    expected: dict[str, Body] = field(default_factory=dict)
    """The accepted tasks of the corpus, by id, and what is to become of them."""
    sent: int = 0

    def wrong(self, what: str, told: str, sent: object = "") -> None:
        self.findings.append(Finding(what, told, str(sent)))

    def look(self, what: str, text: str, sent: object = "") -> None:
        if self.secret in text:
            at = text.index(self.secret)
            self.wrong(what, f"a secret is told: …{text[max(0, at - 200) : at + 200]}", sent)


class Stand:
    """One API, a scheduler, a worker with two children, and one for rasters and panels."""

    def __init__(self, fleet: Fleet, mail_port: int) -> None:
        fleet.environment |= {
            "TASKYARD_TASK_MODULES": "tests.fuzz.tasks",
            "TASKYARD_TEMP_DIR": str(fleet.home / "temp"),
            "TASKYARD_SMTP_HOST": "127.0.0.1",
            "TASKYARD_SMTP_PORT": str(mail_port),
            "TASKYARD_SMTP_SECURITY": "none",
        }
        self.fleet = fleet
        self.notes = Notes(f"magpie-{secrets.token_hex(8)}")
        self.url = f"http://127.0.0.1:{fleet.port}"
        self.key = KEY
        self.api = fleet.start_api()
        self.blind = new_key(fleet.engine, "submit", "manage")
        fleet.start_scheduler()
        fleet.start_worker(queues=",".join(QUEUES), processes=2, threads=4)
        fleet.start_worker(queues=",".join(SLOW_QUEUES), processes=1, threads=1)

    @contextmanager
    def watched(self) -> Iterator[None]:
        """The API answers whether it lives all the time."""
        ended = threading.Event()

        def watch() -> None:
            with httpx.Client(base_url=self.url, timeout=_ALIVE_WITHIN, trust_env=False) as client:
                while not ended.wait(_LOOKS_EVERY):
                    began = time.monotonic()
                    try:
                        status = client.get("/health/live").status_code
                    except httpx.HTTPError as e:
                        self.notes.wrong("the API lives", f"{e!r} after {time.monotonic() - began:.1f} s")
                        continue
                    if status != 200:
                        self.notes.wrong("the API lives", f"/health/live answers {status}")

        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            yield
        finally:
            ended.set()
            watcher.join()

    def log_files(self) -> list[Path]:
        return sorted(self.fleet.home.glob("*.log"))

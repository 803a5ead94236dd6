"""A browser before the console of a stack: Debian's Chromium, driven by Playwright."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sysconfig
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import uuid4

from playwright.sync_api import Browser, Page, expect, sync_playwright

from taskyard.environment import read_env_file
from taskyard_client import Client, Worker
from tests.support.fleet import wait_for

AXE = Path(__file__).parents[2] / ".browser" / "node_modules" / "axe-core" / "axe.min.js"
_BIN = Path(sysconfig.get_path("scripts"))
# Beside what WCAG asks for at its levels A and AA.
_RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


class Stack:
    """A `taskyard up`, and what a person at its console sees."""

    def __init__(self, data_dir: Path, browser: Browser) -> None:
        self.data_dir = data_dir
        self.browser = browser
        self.env = read_env_file(data_dir / "dev.env")
        self.url = f"http://127.0.0.1:{self.env['TASKYARD_CONSOLE_PORT']}"
        self.client = Client(self.env["TASKYARD_URL"], self.env["TASKYARD_API_KEY"])

    def link(self) -> str:
        done = subprocess.run(
            [_BIN / "taskyard-console", "link"],
            env={"PATH": os.environ["PATH"], "TASKYARD_DATA_DIR": str(self.data_dir)},
            capture_output=True, text=True, check=True, timeout=60,
        )  # fmt: skip
        return done.stdout.strip()

    @contextmanager
    def worker(self, queue: str, **variables: str) -> Iterator[Worker]:
        """A worker of its own for a queue of its own, ready: what is done to them troubles no other test."""
        services = read_env_file(self.data_dir / "services.env")
        own = {"TASKYARD_METRICS_PORT": "0", "TASKYARD_TEMP_DIR": str(self.data_dir / "temp"), **variables}
        name = f"own-{uuid4().hex[:6]}"
        named = ["--queues", queue, "--name", name, "--processes", "1", "--threads", "1"]
        with (self.data_dir / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(
                [_BIN / "taskyard-worker", "run", *named],
                env={**os.environ, **self.env, **services, **own}, stdout=log, stderr=log,
            )  # fmt: skip
        try:
            yield wait_for(lambda: [one for one in self.client.workers.items() if _is_ready(one, name)], 60)[0]
        finally:
            for task in self.client.tasks(queue=queue, state="running"):
                if (task.worker or "").startswith(name):
                    self.client.cancel(task.id)
            process.terminate()
            process.wait(60)

    @contextmanager
    def page(self, path: str = "/tasks", /, *, signed_in: bool = True, **options: Any) -> Iterator[Page]:
        """A page of a browser of its own; its script's errors, and what the policy blocked, fail the test."""
        context = self.browser.new_context(base_url=self.url, **{"locale": "en-GB", **options})
        context.set_default_timeout(20_000)
        expect.set_options(timeout=20_000)
        page = context.new_page()
        complaints: list[str] = []
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda said: complaints.append(said.text) if "Content Security" in said.text else None)
        try:
            if signed_in:
                page.goto(f"{self.link()}&next={quote(path, safe='')}")
            yield page
            assert complaints == []
        finally:
            context.close()


def _is_ready(worker: Worker, name: str) -> bool:
    return worker.name.startswith(name) and [child["state"] for child in worker.children] == ["running"]


@contextmanager
def stack_with_browser(home: Path) -> Iterator[Stack]:
    """A whole stack and a browser, for all tests of a module."""
    log = home / "up.log"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TASKYARD_")}
    with log.open("wb") as output:
        up = subprocess.Popen(
            [_BIN / "taskyard", "up"],
            env={**environment, "TASKYARD_DATA_DIR": str(home / "data"), "TASKYARD_STANDING_SCHEDULES": "0"},
            stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
    try:
        deadline = time.monotonic() + 100
        while "Ctrl-C stops everything" not in log.read_text(errors="replace"):
            assert up.poll() is None, log.read_text(errors="replace")
            assert time.monotonic() < deadline, log.read_text(errors="replace")
            time.sleep(0.2)
        with sync_playwright() as playwright:
            chromium = shutil.which("chromium")
            assert chromium, "make system-deps"
            # As root, which has no use for Chromium's sandbox.
            browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
            stack = Stack(home / "data", browser)
            yield stack
            stack.client.close()
            browser.close()
    finally:
        up.send_signal(signal.SIGTERM)
        up.wait(60)


def no_faults(page: Page) -> None:
    """axe-core finds no barrier on the page. Its script comes by Playwright, past the policy of the page."""
    page.evaluate(AXE.read_text())
    found = page.evaluate("rules => axe.run({runOnly: {type: 'tag', values: rules}})", _RULES)
    told = [
        f"{one['id']}: {one['help']}: {[node['html'][:120] for node in one['nodes']]}" for one in found["violations"]
    ]
    assert told == [], "\n".join(told)


def is_sound(page: Page) -> None:
    """Nothing is cut off, and axe finds no barrier; axe needs scripts."""
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    no_faults(page)

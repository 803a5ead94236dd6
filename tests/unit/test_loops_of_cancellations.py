"""`taskyard tasks cancel` and `queues purge` go on until what was there is gone, and say what is not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from typer.testing import CliRunner

from taskyard import changes_command, queues_command
from taskyard.commands import typer_app
from taskyard_client.change_models import HandledInPart, Purge

NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Api:
    """Tasks wait in it, by the seconds since `NOW` at which they were submitted; each call takes two, and a producer
    submits three more. `stuck`: nothing is cancelled any more."""

    def __init__(self, tasks: int, *, stuck: bool = False) -> None:
        self.waiting = [-1] * tasks
        self.calls = 0
        self.stuck = stuck
        self.queues = self

    def cancel_many(self, ids: Any = None, *, dry_run: bool = False, count: bool = True, **filters: Any) -> Any:
        at = self._at()
        matched, changed, left = self._take(filters["created_before"], filters["created_after"], dry_run)
        assert count is dry_run, "counted where the count is told only"
        return HandledInPart(matched=matched, changed=changed, has_more=left > 0, at=at)

    def purge(self, name: str, *, dry_run: bool = False, created_before: datetime | None = None) -> Any:
        at = self._at()
        matched, changed, left = self._take(created_before or at, None, dry_run)
        return Purge(matched=matched, changed=changed, left=left, at=at)

    def _at(self) -> datetime:
        return NOW + timedelta(seconds=self.calls)

    def _take(self, until: datetime | None, after: datetime | None, dry_run: bool) -> tuple[int, int, int]:
        def fits(seconds: int) -> bool:
            at = NOW + timedelta(seconds=seconds)
            return (until is None or at < until) and (after is None or at >= after)

        matching = [s for s in self.waiting if fits(s)]
        taken = [] if dry_run or self.stuck else matching[:2]
        for seconds in taken:
            self.waiting.remove(seconds)
        if not dry_run:
            self.waiting += [self.calls] * 3
            self.calls += 1
        assert self.calls < 20, "it goes on for as long as the producer does"
        return len(matching), len(taken), len(matching) - len(taken)


COMMANDS = {"cancel": ["cancel", "--queue", "default", "--yes"], "purge": ["purge", "default", "--yes"]}


@pytest.fixture(params=COMMANDS)
def command(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def run(monkeypatch: pytest.MonkeyPatch, api: Api, command: str) -> Any:
    @contextmanager
    def client(*_: Any) -> Iterator[Api]:
        yield api

    for module in (changes_command, queues_command):
        monkeypatch.setattr(module, "client_or_exit", client)
    app = typer_app("t", "")
    app.command()(changes_command.cancel)
    app.command()(queues_command.purge)
    return CliRunner().invoke(app, COMMANDS[command])


def test_it_ends_although_a_producer_goes_on_and_says_how_many_came(
    monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    done = run(monkeypatch, Api(5), command)
    assert done.exit_code == 0, done.output
    assert "5 tasks cancelled" in done.output
    assert "submitted since" in done.output


def test_it_fails_where_some_are_left(monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    done = run(monkeypatch, Api(5, stuck=True), command)
    assert done.exit_code == 1
    assert "run this again" in done.output

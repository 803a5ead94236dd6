"""Hints from Redis: those that concern this worker are acted upon, and the others do no harm."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import orjson
import pytest

from taskyard.broker.names import Names
from taskyard_worker.supervisor.listener import Listener

ME = uuid4()


class Heard:
    def __init__(self) -> None:
        self.looks = 0
        self.passed_on: list[tuple[str, list[str]]] = []
        self.listener = Listener(
            "redis://127.0.0.1:1",
            Names(),
            SimpleNamespace(worker_id=ME),
            concerns=lambda ids: "mine" in ids,
            look=self.look,
            pass_on=lambda do, queues: self.passed_on.append((do, queues)),
        )

    def look(self) -> None:
        self.looks += 1

    def hear(self, data: Any) -> tuple[int, list[tuple[str, list[str]]]]:
        self.listener._handle_hint(data if isinstance(data, bytes) else orjson.dumps(data))
        return self.looks, self.passed_on


def test_a_cancellation_has_the_ledger_asked_where_a_child_has_the_task() -> None:
    heard = Heard()
    assert heard.hear({"cancel": ["others"]}) == (0, [])
    assert heard.hear({"cancel": ["others", "mine"]}) == (1, [])


def test_what_is_asked_of_this_worker_has_the_ledger_asked() -> None:
    heard = Heard()
    assert heard.hear({"workers": [str(uuid4())]}) == (0, [])
    assert heard.hear({"workers": [str(uuid4()), str(ME)]}) == (1, [])


def test_a_resume_reaches_the_children_and_has_the_ledger_asked_for_what_runs_apart() -> None:
    assert Heard().hear({"resume": ["default", 7, "low_priority"]}) == (1, [("resume", ["default", "low_priority"])])


def test_a_recall_reaches_the_children() -> None:
    assert Heard().hear({"recall": ["default", 7]}) == (0, [("recall", ["default"])])


@pytest.mark.parametrize(
    "data", [b"", b"\xff", b"[]", b"7", b"null", {"resume": "default"}, {"resume": None}, {"cancel": 7}, {"workers": 7}]
)
def test_what_is_no_hint_of_ours_does_nothing(data: Any) -> None:
    assert Heard().hear(data) == (0, [])

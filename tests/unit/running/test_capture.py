"""What a task prints and logs becomes its log: whole lines, of the right task."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import sys
import threading
import types
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID

import pytest
import structlog

from taskyard.running import capture, speaker
from taskyard.running.context import TaskContext
from taskyard.running.speaker import current
from taskyard.running.speech import strike_out
from taskyard.running.streams import Stream
from taskyard.settings import Settings
from taskyard.telemetry.logging import set_up_logging


class Lines:
    """A sink that keeps what it is told, by task."""

    def __init__(self) -> None:
        self.of: dict[UUID, list[str]] = {}
        self.levels: list[str] = []

    def progress(self, *_: object) -> None: ...

    def note(self, task_id: UUID, claim: UUID, kind: str, data: dict[str, Any]) -> None:
        self.of.setdefault(task_id, []).append(data["message"])
        self.levels.append(data["level"])


def context_of(sink: Lines, number: int = 1, **more: Any) -> TaskContext:
    nothing: Any = None
    task_id = UUID(int=number)
    return TaskContext(
        task_id, task_id, "a.b", 1, Settings(), storage=nothing, sink=sink, submitter=nothing, database=nothing, **more
    )


@pytest.fixture
def lines() -> Lines:
    return Lines()


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A process as a child is; all is put back afterwards."""
    root = logging.getLogger()
    handlers, level, config = root.handlers[:], root.level, structlog.get_config()
    # Set to what they are, so that they are put back.
    monkeypatch.setattr(threading.Thread, "start", threading.Thread.start)
    monkeypatch.setattr(ThreadPoolExecutor, "submit", ThreadPoolExecutor.submit)
    streams = {name: sys.__dict__[name] for name in ("stdout", "stderr")}
    sys.stdout, sys.stderr = io.StringIO(), io.StringIO()
    set_up_logging("worker", level="info", style="json")
    capture.install()
    yield
    speaker.printed.clear()
    speaker.put_back_before_each.clear()
    sys.__class__ = types.ModuleType
    sys.__dict__.update(streams)
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.configure(**config)


@pytest.fixture
def out(installed: None) -> Stream:
    """What a child's `sys.stdout` is."""
    del installed
    found = sys.stdout
    assert isinstance(found, Stream)
    return found


def test_a_print_is_one_line_whatever_its_arguments(lines: Lines, out: Stream) -> None:
    with current(context_of(lines)):
        print("a", "b", 3, sep=", ", file=out)
        print("first\nsecond\n\n  \nthird", file=out)
    assert lines.of == {UUID(int=1): ["a, b, 3", "first", "second", "third"]}
    assert out._inner.getvalue() == "a, b, 3\nfirst\nsecond\n\n  \nthird\n"  # type: ignore[attr-defined]


def test_a_last_line_without_an_end_is_kept(lines: Lines, out: Stream) -> None:
    with current(context_of(lines)):
        out.write("no ")
        out.write("end")
    assert lines.of == {UUID(int=1): ["no end"]}


def test_of_a_line_that_is_drawn_again_and_again_the_last_state_is_kept(lines: Lines, out: Stream) -> None:
    with current(context_of(lines)):
        out.writelines(f"\r{percent} %" for percent in range(101))
        out.write("\n")
        out.write("dos\r\n")
    assert lines.of == {UUID(int=1): ["100 %", "dos"]}


def test_a_print_without_end_does_not_pile_up(lines: Lines, out: Stream) -> None:
    with current(context_of(lines)):
        out.writelines("x" * 100 for _ in range(1000))
        assert max(map(len, lines.of[UUID(int=1)])) < 10_000
    assert sum(map(len, lines.of[UUID(int=1)])) == 100_000


def test_each_of_many_threads_speaks_for_its_own_task(lines: Lines, out: Stream) -> None:
    together = threading.Barrier(8)

    def task(number: int) -> None:
        with current(context_of(lines, number)):
            together.wait()
            for n in range(50):
                print("task", number, "line", n, file=out)

    threads = [threading.Thread(target=task, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert lines.of == {UUID(int=t): [f"task {t} line {n}" for n in range(50)] for t in range(8)}


def test_each_coroutine_speaks_for_its_own_task(lines: Lines, out: Stream) -> None:
    async def task(number: int) -> None:
        with current(context_of(lines, number)):
            for n in range(3):
                print(number, end="-", file=out)
                await asyncio.sleep(0)
                print(n, file=out)

    async def main() -> None:
        await asyncio.gather(*(task(n) for n in range(5)))

    asyncio.run(main())
    assert lines.of == {UUID(int=t): [f"{t}-{n}" for n in range(3)] for t in range(5)}


def test_nothing_is_captured_before_and_after_a_task(lines: Lines, out: Stream) -> None:
    print("before", file=out)
    with current(context_of(lines)):
        pass
    print("after", file=out)
    logging.getLogger("mine").info("after")
    assert lines.of == {}


def test_log_records_of_the_task_are_lines_with_their_level_and_those_of_the_platform_are_not(
    lines: Lines, out: Stream
) -> None:
    with current(context_of(lines)):
        logging.getLogger("mine").warning("disk %d %% full", 93)
        logging.getLogger("taskyard_kits.files.tasks").info("counted")
        for platform in ("taskyard.lifecycle", "taskyard_worker.writer", "sqlalchemy.pool", "dramatiq.worker"):
            logging.getLogger(platform).error("not the task's")
    assert lines.of == {UUID(int=1): ["disk 93 % full", "counted"]}
    assert lines.levels == ["warning", "info"]


def test_what_a_task_says_through_structlog_is_readable(lines: Lines, out: Stream) -> None:
    with current(context_of(lines)):
        structlog.stdlib.get_logger("mine").info("image_read", width=640, name="a b")
    assert lines.of == {UUID(int=1): ["image_read width=640 name=a b"]}


def test_the_service_s_own_lines_name_the_task_while_it_runs(
    lines: Lines, out: Stream, capsys: pytest.CaptureFixture[str]
) -> None:
    stream = io.StringIO()
    logging.getLogger().handlers[0].setStream(stream)  # type: ignore[attr-defined]
    with current(context_of(lines)):
        logging.getLogger("mine").info("inside")
    logging.getLogger("mine").info("outside")
    inside, outside = stream.getvalue().splitlines()
    assert f'"task_id": "{UUID(int=1)}"' in inside
    assert "task_id" not in outside


def test_what_a_task_binds_to_structlog_does_not_rename_the_task_in_its_lines_nor_in_those_of_the_next(
    lines: Lines, out: Stream
) -> None:
    del out
    handler = logging.getLogger().handlers[0]
    assert isinstance(handler, logging.StreamHandler)
    handler.setStream(io.StringIO())
    with current(context_of(lines, 1, request_id="of-1")):
        structlog.contextvars.bind_contextvars(task_id="mine", request_id="mine")
        logging.getLogger("somebody").warning("first")
    logging.getLogger("somebody").warning("between")
    with current(context_of(lines, 2, request_id="of-2")):
        structlog.get_logger("somebody").warning("second")
        structlog.get_logger("somebody").warning("second", task_id="another")
    said = [json.loads(line) for line in handler.stream.getvalue().splitlines()]
    assert [(line.get("task_id"), line.get("request_id")) for line in said] == [
        (str(UUID(int=1)), "of-1"),
        (None, None),
        (str(UUID(int=2)), "of-2"),
        ("another", "of-2"),
    ]


def test_the_service_s_lines_carry_the_trace_of_the_submit(lines: Lines, out: Stream) -> None:
    stream = io.StringIO()
    logging.getLogger().handlers[0].setStream(stream)  # type: ignore[attr-defined]
    with current(context_of(lines, traceparent=f"00-{'a1' * 16}-{'b2' * 8}-01")):
        logging.getLogger("mine").info("inside")
    logging.getLogger("mine").info("outside")
    inside, outside = map(json.loads, stream.getvalue().splitlines())
    assert inside["trace_id"] == "a1" * 16
    assert "trace_id" not in outside


SECRET = 'k3y "é"'


@pytest.mark.parametrize("style", ["json", "console"])
@pytest.mark.parametrize(
    "say",
    [
        lambda: logging.getLogger("mine").warning("with %s", SECRET),
        lambda: logging.getLogger("mine").warning("with %s", {"token": SECRET}),
        lambda: logging.getLogger("mine").warning("x", extra={"token": SECRET}),
        lambda: structlog.stdlib.get_logger("mine").warning("x", deep={SECRET: [SECRET, {"a": (SECRET, 1, None)}]}),
        lambda: structlog.stdlib.get_logger("mine").warning(SECRET, error=ValueError(SECRET)),
        lambda: logging.getLogger("taskyard.store.ledger").warning("the platform's: %s", SECRET),
    ],
)
def test_what_a_task_logs_reaches_the_service_s_log_without_its_secrets(
    lines: Lines, out: Stream, style: str, say: Any
) -> None:
    del out
    said = logged_by(lines, style, say)
    assert "***" in said
    assert "k3y" not in said
    assert "k3y" not in str(lines.of)
    if style == "json":
        assert json.loads(said)["level"] == "warning"


@pytest.mark.parametrize("style", ["json", "console"])
def test_tracebacks_in_the_service_s_log_show_no_secrets(lines: Lines, out: Stream, style: str) -> None:
    def say() -> None:
        try:
            raise ValueError(SECRET)
        except ValueError:
            logging.getLogger("mine").exception("failed")
            structlog.stdlib.get_logger("mine").exception("failed")

    said = logged_by(lines, style, say)
    assert said.count("ValueError") >= 2
    assert "k3y" not in said


def logged_by(lines: Lines, style: str, say: Any) -> str:
    set_up_logging("worker", level="info", style=style)
    capture.keep_secrets()
    stream = io.StringIO()
    logging.getLogger().handlers[0].setStream(stream)  # type: ignore[attr-defined]
    with current(context_of(lines, redact=strike_out([SECRET]))):
        say()
    return stream.getvalue()


def test_what_a_task_prints_reaches_the_service_s_output_without_its_secrets(lines: Lines, out: Stream) -> None:
    with current(context_of(lines, redact=strike_out([SECRET]))):
        print("whole", SECRET, file=out)
        for letter in SECRET:
            out.write(letter)
        out.write("\nlast: ")
        out.write(SECRET)
    assert out._inner.getvalue() == "whole ***\n***\nlast: ***\n"  # type: ignore[attr-defined]
    assert lines.of == {UUID(int=1): ["whole ***", "***", "last: ***"]}


def test_standard_error_is_captured_without_secrets_like_standard_output(lines: Lines, out: Stream) -> None:
    with current(context_of(lines, redact=strike_out([SECRET]))):
        shown: Any = sys.stderr
        sys.stdout.write("half")
        sys.stderr.write(f"oh {SECRET}\n")
        sys.stdout.write(" done\n")
    assert shown._inner.getvalue() == "oh ***\n"
    assert out._inner.getvalue() == "half done\n"  # type: ignore[attr-defined]
    assert lines.of == {UUID(int=1): ["oh ***", "half done"]}


@pytest.mark.parametrize("name", ["encoding", "errors", "buffer"])
def test_standard_output_still_has_what_libraries_ask_of_it(name: str) -> None:
    with io.TextIOWrapper(io.BytesIO(), encoding="utf-8", errors="replace") as inner:
        stream = Stream(inner)
        assert getattr(stream, name) == getattr(inner, name)
        assert stream.writable()

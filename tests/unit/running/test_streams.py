"""Standard output belongs to each task alone, whatever it does to it; and no output fails a task."""
# ruff: noqa: T201 - it is about `print`

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import errno
import io
import logging
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast
from uuid import UUID

import pytest
import structlog

from taskyard.running.context import MAX_LINE
from taskyard.running.speaker import current
from taskyard.running.speech import strike_out
from taskyard.running.streams import Stream, _of_all
from tests.unit.running.test_capture import SECRET, Lines, context_of, installed, lines, out

__all__ = ["installed", "lines", "out"]


def test_what_a_task_puts_in_the_place_of_standard_output_is_its_own(lines: Lines, installed: None) -> None:
    """`redirect_stdout` of two tasks overlaps, and the first one ends it first."""
    del installed
    contexts = [context_of(lines, n) for n in (1, 2, 3)]
    turns = [threading.Barrier(2) for _ in range(3)]
    found: dict[int, str] = {}

    def redirecting(number: int) -> None:
        kept = io.StringIO()
        with current(contexts[number - 1]):
            if number == 2:
                turns[0].wait(60)
            with contextlib.redirect_stdout(kept):
                print("kept by", number)
                turns[number - 1].wait(60)
                if number == 1:
                    turns[1].wait(60)
            print("said by", number)
        found[number] = kept.getvalue()

    threads = [threading.Thread(target=redirecting, args=[n]) for n in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    with current(contexts[2]):
        print("said by", 3)
    assert found == {1: "kept by 1\n", 2: "kept by 2\n"}
    assert lines.of == {UUID(int=n): [f"said by {n}"] for n in (1, 2, 3)}


def take_away_attribute() -> None:
    sys.stdout = sys.stderr = None


def take_away_from_dictionary() -> None:
    vars(sys)["stdout"] = None


def delete() -> None:
    del sys.stdout


def close() -> None:
    sys.stdout.close()


def replace_for_good() -> None:
    sys.stdout = io.StringIO()


def change_encoding() -> None:
    cast(Any, sys.stdout).reconfigure(encoding="cp1252", errors="strict")


def close_what_is_below() -> None:
    cast(Any, sys.stdout)._inner.close()


@pytest.mark.parametrize(
    "do",
    [
        take_away_attribute,
        take_away_from_dictionary,
        delete,
        close,
        replace_for_good,
        change_encoding,
        close_what_is_below,
    ],
)
def test_whatever_a_task_does_to_standard_output_the_next_one_is_heard(
    lines: Lines, installed: None, do: Callable[[], None]
) -> None:
    del installed
    with current(context_of(lines, 1)):
        do()
        print("one", flush=True)
    with current(context_of(lines, 2)):
        print("two ű", flush=True)
        sys.stderr.write("and error\n")
    assert lines.of[UUID(int=2)] == ["two ű", "and error"]


def clear_handlers() -> None:
    logging.getLogger().handlers.clear()


def of_basic_config() -> None:
    logging.basicConfig(force=True, stream=io.StringIO())


@pytest.mark.parametrize("do", [logging.disable, clear_handlers, of_basic_config, logging.shutdown])
def test_whatever_a_task_does_to_logging_the_next_one_is_heard(
    lines: Lines, installed: None, capsys: pytest.CaptureFixture[str], do: Callable[[], None]
) -> None:
    del installed
    handlers = logging.getLogger().handlers[:]
    with current(context_of(lines, 1)):
        do()
    with current(context_of(lines, 2)):
        logging.getLogger("theirs").error("two")
    assert lines.of[UUID(int=2)] == ["two"]
    assert set(handlers) <= set(logging.getLogger().handlers)
    assert logging.root.manager.disable == 0


def test_a_standard_descriptor_that_a_task_closes_is_there_for_the_next_one() -> None:
    code = (
        "import os, sys\n"
        "from taskyard.running import capture\n"
        "from tests.unit.running.test_capture import Lines, context_of\n"
        "from taskyard.running.speaker import current\n"
        "capture.install()\n"
        "for number in range(3):\n"
        "    with current(context_of(Lines(), number)):\n"
        "        print('task', number, flush=True)\n"
        "        os.write(2, b'raw\\n')\n"
        "        [os.close(n) for n in (0, 1, 2)]\n"
        "with current(context_of(Lines(), 3)):\n"
        "    assert os.open(os.devnull, os.O_RDONLY) > 2\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "task 0\ntask 1\ntask 2\n", "raw\n" * 3)


def test_what_a_task_prints_leaves_the_next_line_of_the_service_alone(lines: Lines, out: Stream) -> None:
    inner: Any = out._inner
    with current(context_of(lines, 1)):
        out.write("no end")
    assert inner.getvalue() == "no end\n"
    with current(context_of(lines, 2)):
        out.write("x" * 20_000)
        assert inner.getvalue().endswith("x\n"), "a part of a long line is a line"


def test_a_line_that_cannot_be_made_stands_in_the_task_s_log_all_the_same(lines: Lines, installed: None) -> None:
    del installed

    class Unspeakable:
        def __str__(self) -> str:
            raise ValueError("not to be shown")

    class Record(logging.LogRecord):
        def getMessage(self) -> str:  # noqa: N802 - logging's name
            raise SystemError("of their own factory")

    with current(context_of(lines, 1)):
        structlog.get_logger("theirs").warning("said", what=Unspeakable())
        logging.getLogger("theirs").handle(Record("theirs", logging.WARNING, "f", 1, "plain", None, None))
    assert lines.of[UUID(int=1)] == [
        "said what=<Unspeakable that cannot be shown>",
        "plain (the message cannot be made)",
    ]


def test_a_task_may_write_to_what_it_has_replaced(lines: Lines, installed: None) -> None:
    """As a stream does that copies what is written."""
    del installed

    class Copying(io.StringIO):
        def __init__(self, first: Any) -> None:
            super().__init__()
            self.first = first

        def write(self, text: str) -> int:
            self.first.write(text)
            return super().write(text)

    with current(context_of(lines)):
        copying: Any = Copying(sys.stdout)
        sys.stdout = copying
        print("twice")
    assert lines.of == {UUID(int=1): ["twice"]}
    assert copying.getvalue() == "twice\n"


def test_what_threads_of_a_task_print_and_log_belongs_to_it_without_its_secrets(
    lines: Lines, installed: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    del installed
    monkeypatch.setattr(threading, "excepthook", threading.__excepthook__)  # pytest has its own

    def speak(what: str) -> None:
        print(what, end=" ")
        print(SECRET)
        logging.getLogger("mine").info("logged by %s", what)

    class Own(threading.Thread):
        def run(self) -> None:
            speak("a class")

    def fail() -> None:
        raise RuntimeError(SECRET)

    with ThreadPoolExecutor(1) as pool:
        with current(context_of(lines, 2)):
            pool.submit(print, "of another task").result(5)
        with current(context_of(lines, 1, redact=strike_out([SECRET]))):
            by_function, timer = (
                threading.Thread(target=speak, args=["a thread"]),
                threading.Timer(0, speak, ["a timer"]),
            )
            for thread in (by_function, Own(), timer):
                thread.start()
                thread.join(5)
            pool.submit(speak, "a pool").result(5)
            asyncio.run(asyncio.to_thread(speak, "asyncio"))
            failing = threading.Thread(target=fail)
            failing.start()
            failing.join(5)
        pool.submit(print, "of nobody").result(5)
    said = lines.of.pop(UUID(int=1))
    for what in ("a thread", "a class", "a timer", "a pool", "asyncio"):
        assert f"{what} ***" in said
        assert f"logged by {what}" in said
    assert "RuntimeError: ***" in said
    assert lines.of == {UUID(int=2): ["of another task"]}


def test_unfinished_lines_of_two_threads_stay_apart(lines: Lines, installed: None) -> None:
    del installed
    turn = threading.Barrier(2)

    def halves(name: str) -> None:
        sys.stdout.write(f"{name} begins")
        turn.wait(60)
        sys.stdout.write(", ends")

    with current(context_of(lines)):
        threads = [threading.Thread(target=halves, args=[name]) for name in "ab"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert sorted(lines.of[UUID(int=1)]) == ["a begins, ends", "b begins, ends"]


@pytest.mark.parametrize("size", [8_185, 16_380, 40_000])
def test_a_secret_at_the_place_where_a_long_line_is_cut_is_struck_out(lines: Lines, out: Stream, size: int) -> None:
    with current(context_of(lines, redact=strike_out(["s3cr3t-w0rd"]))):
        out.write("x" * size)
        for letter in "s3cr3t-w0rd":
            out.write(letter)
        out.write("y" * 20_000)
    shown = out._inner.getvalue()  # type: ignore[attr-defined]
    assert shown.replace("\n", "") == "x" * size + "***" + "y" * 20_000
    assert not [line for line in lines.of[UUID(int=1)] if "s3cr3t" in line or "w0rd" in line]


def test_a_line_of_3_mb_is_cut_with_a_mark_and_leaves_the_others(lines: Lines, out: Stream) -> None:
    with current(context_of(lines)):
        print("x" * 3_000_000, file=out)
        out.write("x" * 3_000_000)
        out.write("\nafter\n")
    first, second, after = lines.of[UUID(int=1)]
    assert first == second == "x" * MAX_LINE + "… [cut: the line has 3,000,000 characters]"
    assert after == "after"


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
def test_what_the_worker_s_output_cannot_encode_is_written_with_escapes(
    lines: Lines, monkeypatch: pytest.MonkeyPatch, encoding: str
) -> None:
    written = io.BytesIO()
    with io.TextIOWrapper(written, encoding=encoding, errors="strict", write_through=True) as stream:
        out = Stream(_of_all(stream))
        with current(context_of(lines)):
            print("tű \udcff", file=out)
        text = "tű" if encoding == "utf-8" else "t\\u0171"
        assert written.getvalue() == f"{text} \\udcff\n".encode()
    assert lines.of == {UUID(int=1): ["tű \ufffd"]}


class Full(io.StringIO):
    def write(self, _: str) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("stream", [None, Full()], ids=["none", "full"])
def test_a_worker_without_standard_output_or_with_a_full_disk_fails_no_print(lines: Lines, stream: Any) -> None:
    of_all = _of_all(stream)
    with current(context_of(lines)):
        print("heard", file=Stream(of_all), flush=True)
    if stream is None:
        of_all.close()
    assert lines.of == {UUID(int=1): ["heard"]}


def test_lines_of_the_service_show_no_secret_of_a_running_task_whoever_writes_them(
    lines: Lines, installed: None
) -> None:
    """As asyncio does, which tells of an error that nobody has awaited."""
    del installed
    stream = io.StringIO()
    logging.getLogger().handlers[0].setStream(stream)  # type: ignore[attr-defined]

    def outside() -> None:
        logging.getLogger("asyncio").error("never retrieved: %s", SECRET)
        structlog.stdlib.get_logger("taskyard").warning("x", deep=[SECRET])

    with current(context_of(lines, redact=strike_out([SECRET]))):
        contextvars.Context().run(outside)
    assert stream.getvalue().count("***") == 2
    assert "k3y" not in stream.getvalue()
    assert lines.of == {}

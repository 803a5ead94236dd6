"""Logs: what a line carries, and what it must never carry."""

import json
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import structlog

from taskyard.telemetry.logging import set_up_logging

SECRET = "magpie-0"


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    factory, raises = logging.getLogRecordFactory(), logging.raiseExceptions
    yield
    logging.setLogRecordFactory(factory)
    logging.raiseExceptions = raises
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def check(authorization: str) -> None:
    raise RuntimeError(len(authorization))


@pytest.mark.parametrize("style", ["console", "json"])
def test_tracebacks_show_no_local_variables(style: str, capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging("api", style=style)
    try:
        check("".join(reversed("terc3s_yt")))  # not as text in this file: tracebacks may quote its lines
    except RuntimeError:
        logging.getLogger("somebody").exception("request_failed")
    said = capsys.readouterr().err
    assert "RuntimeError" in said
    assert "ty_s3cr" + "et" not in said


def test_uvicorns_coloured_copy_of_a_message_is_dropped(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging("api", style="json")
    logging.getLogger("uvicorn.error").info("Started", extra={"color_message": "\x1b[36mStarted\x1b[0m"})
    line = json.loads(capsys.readouterr().err)
    assert line["event"] == "Started"
    assert "color_message" not in line


class Unspeakable:
    def __str__(self) -> str:
        raise ValueError("not to be shown")

    __repr__ = __str__


def cycle() -> list[Any]:
    endless: list[Any] = []
    endless.append(endless)
    return endless


@pytest.mark.parametrize(
    "say",
    [
        pytest.param(lambda: logging.getLogger("task").warning("number %d", SECRET), id="arguments that do not fit"),
        pytest.param(lambda: logging.getLogger("task").warning("number %s", 10**5000), id="a number of 5,000 digits"),
        pytest.param(lambda: logging.getLogger("task").warning("said %s", Unspeakable()), id="an argument that raises"),
        pytest.param(lambda: logging.getLogger("task").warning(Unspeakable()), id="a message that raises"),
        pytest.param(
            lambda: logging.getLogger("task").warning("said", extra={"a": Unspeakable(), "b": SECRET}), id="extra"
        ),
        pytest.param(
            lambda: structlog.stdlib.get_logger("task").warning("said", a=Unspeakable(), b=SECRET), id="a value"
        ),
        pytest.param(lambda: structlog.stdlib.get_logger("task").warning("said", a=cycle(), b=SECRET), id="a cycle"),
    ],
)
@pytest.mark.parametrize("style", ["console", "json"])
def test_a_line_that_cannot_be_made_is_told_as_one_line_without_its_arguments(
    say: Callable[[], None], style: str, capsys: pytest.CaptureFixture[str]
) -> None:
    set_up_logging("worker", style=style)
    say()
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "Traceback" not in said
    if "cannot" in said or "not_shown" in said:
        assert SECRET not in said
    else:
        assert style == "console", "which shows what JSON does not"

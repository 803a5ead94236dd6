"""Logs: what a line carries, and what it must never carry."""

import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from taskyard.telemetry.logging import set_up_logging


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
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

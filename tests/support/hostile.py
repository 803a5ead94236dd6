"""Task types of the tests' own that hand over, raise and print what no task should."""

import contextlib
import io
import sys
import threading
import time
from typing import Any

from taskyard import Params, Result, Retry, TaskContext, TaskError, task
from taskyard.domain.retry import RetryPolicy


class HostileParams(Params):
    do: str
    seconds: float = 0.0


class Told(Result):
    told: Any = None


class Hostile:
    """Whatever is asked of it fails."""

    def __str__(self) -> str:
        raise RuntimeError("hostile")

    __repr__ = __str__


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("hostile")


@task("tests.hostile", retry=RetryPolicy(retries=0))
def be_hostile(params: HostileParams, context: TaskContext) -> Told:
    """Does what it is told."""
    return Told(told=globals()[params.do](params, context))


def say_what_is_no_text(_: HostileParams, context: TaskContext) -> None:
    odd: Any = Hostile()
    context.log("said", level=odd)
    time.sleep(1.0)  # the line is written by now
    context.log(odd, level=odd)
    context.progress(1, 2, odd)


def report_too_much(_: HostileParams, context: TaskContext) -> list[str]:
    """What it is told of each number."""
    told = []
    odd: Any = Hostile()
    for total in (2**64, 10**400, 10**5000, float("nan"), float("inf"), odd):
        try:
            context.progress(1, total)
        except (TypeError, ValueError) as e:
            told.append(str(e))
    context.progress(1, 2**53, "as much as can be")
    return told


def raise_unspeakable(_: HostileParams, __: TaskContext) -> None:
    raise Unspeakable


def raise_numbers(_: HostileParams, __: TaskContext) -> None:
    numbers: Any = (5, 6)
    raise TaskError(*numbers)


def ask_for_a_retry(_: HostileParams, __: TaskContext) -> None:
    raise Retry(after=30)


def redirect(params: HostileParams, _: TaskContext) -> str:
    with contextlib.redirect_stdout(io.StringIO()) as kept:
        print("kept")  # noqa: T201
        time.sleep(params.seconds)
    return kept.getvalue()


def take_output_away(_: HostileParams, __: TaskContext) -> None:
    sys.stdout = sys.stderr = None


def talk(params: HostileParams, _: TaskContext) -> None:
    print("x" * 3_000_000)  # noqa: T201
    print("ű \udcff")  # noqa: T201
    thread = threading.Thread(target=print, args=["of a thread"])
    thread.start()
    thread.join()
    time.sleep(params.seconds)
    print("the last")  # noqa: T201

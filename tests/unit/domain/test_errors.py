"""The error tree is the one that its module draws."""

from __future__ import annotations

import math
import re
from datetime import timedelta
from typing import Any

import pytest

from taskyard.domain import errors
from taskyard.domain.ids import new_id
from taskyard.domain.messages import message


def drawn() -> dict[str, str]:
    """Child -> parent, read from the drawing at the top of the module."""
    parents: dict[str, str] = {}
    path: list[tuple[int, str]] = []
    for line in (errors.__doc__ or "").splitlines():
        if found := re.match(r"^([│ ]*(?:[├└]── )?)([A-Z]\w+)\b", line):
            depth, name = len(found[1]), found[2]
            path = [step for step in path if step[0] < depth]
            if path:
                parents[name] = path[-1][1]
            path.append((depth, name))
    return parents


def test_the_drawing_shows_every_error_below_its_parent() -> None:
    classes = {
        name: kind.__mro__[1].__name__
        for name, kind in vars(errors).items()
        if isinstance(kind, type) and issubclass(kind, BaseException)
    }
    assert classes.pop("TaskyardError") == "Exception"
    assert drawn() == classes


def test_interrupts_pass_an_except_exception() -> None:
    for interrupt in (errors.TaskCancelled, errors.SoftTimeLimitExceeded):
        assert not issubclass(interrupt, Exception)


def test_every_refusal_has_a_code_of_its_own() -> None:
    refusals: list[type[errors.Refused]] = [errors.Refused, *_below(errors.Refused)]
    codes = [kind.code for kind in refusals if kind.__module__ == errors.__name__]
    assert len(set(codes)) == len(codes)
    assert all(re.fullmatch("[a-z_]+", code) for code in codes)


def test_a_task_error_without_words_says_its_code() -> None:
    assert str(errors.TaskError("smtp_refused")) == "smtp_refused"
    assert str(errors.TaskError("smtp_refused", answer="550")) == "smtp_refused (answer='550')"
    explained = errors.TaskError("smtp_refused", "The server refused.", retryable=False)
    assert (explained.code, explained.message, explained.retryable) == (
        "smtp_refused",
        "The server refused.",
        False,
    )


def test_refusals_carry_what_a_caller_needs() -> None:
    holder = new_id()
    assert errors.Conflict(message("The task is running."), state="running").state == "running"
    assert errors.NotUnique(message("taken"), holder=holder).holder == holder
    assert errors.Retry(after=timedelta(seconds=3)).after == timedelta(seconds=3)


def test_what_is_away_can_be_caught_as_one() -> None:
    for kind in (errors.LedgerUnavailable, errors.BrokerUnavailable):
        with pytest.raises(errors.Unavailable):
            raise kind("gone")


def _below(kind: type[errors.Refused]) -> list[type[errors.Refused]]:
    return [found for child in kind.__subclasses__() for found in (child, *_below(child))]


def test_a_retry_is_asked_for_with_a_timedelta_or_seconds() -> None:
    assert errors.Retry(after=30).after == errors.Retry(after=timedelta(seconds=30)).after
    assert errors.Retry(after=0.5).after == timedelta(seconds=0.5)


@pytest.mark.parametrize("after", [math.nan, math.inf, -1, 2**64, 10**400, "30", True, [30]])
def test_what_is_no_time_of_a_retry_is_refused_where_it_is_asked_for(after: Any) -> None:
    with pytest.raises((TypeError, ValueError), match=r"^after is "):
        errors.Retry(after=after)


@pytest.mark.parametrize("sign", [1, -1])
def test_a_number_beyond_its_own_text_is_refused_all_the_same(sign: int) -> None:
    with pytest.raises(ValueError, match=r"^after is "):
        errors.Retry(after=sign * 10**5000)

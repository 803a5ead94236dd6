"""What is read of a head costs about as much as its length: no header is parsed before it is measured."""

import time
from collections.abc import Callable
from contextlib import suppress

import pytest

from taskyard.catalogue.near import near_names
from taskyard_api.refusals import Invalid
from taskyard_api.translation import preferences
from taskyard_api.uploads import checked_name, checked_type

LENGTH = 64_000


def seconds(call: Callable[[], object]) -> float:
    began = time.thread_time()
    with suppress(Invalid):
        call()
    return time.thread_time() - began


def sorted_marks(count: int) -> str:
    """Combining characters in the order that takes longest to put right."""
    return "a" + "\u0301" * (count // 2) + "\u0323" * (count // 2)


@pytest.mark.parametrize(
    "call",
    [
        pytest.param(lambda: checked_name(sorted_marks(LENGTH // 2), "X-Filename"), id="a file's name"),
        pytest.param(lambda: checked_type('a/b; x="' + '\\";' * (LENGTH // 3), "Content-Type"), id="Content-Type"),
        pytest.param(lambda: preferences(",".join(["de;q=0." + "1" * 3_000] * 21)), id="Accept-Language"),
        pytest.param(lambda: preferences("," * LENGTH), id="Accept-Language of commas"),
    ],
)
def test_a_hostile_header_takes_no_longer_than_a_look_at_each_character(call: Callable[[], object]) -> None:
    text = "a" * LENGTH
    looks = min(seconds(lambda: sum(character == "b" for character in text)) for _ in range(3))
    assert min(seconds(call) for _ in range(2)) < 3 * looks


def test_names_as_they_are_on_other_systems_are_taken() -> None:
    decomposed = "e\u0301" * 100
    assert checked_name(decomposed, "X-Filename") == "é" * 100


def test_near_names_are_found_and_long_ones_cost_no_more() -> None:
    usual = [f"billing.invoice{n}" for n in range(200)]
    assert "billing.invoice7" in near_names("billing.invoic7", usual)
    few = min(seconds(lambda: near_names("ab" * 64, ["ba" * 60 + str(n) for n in range(10)])) for _ in range(2))
    many = min(seconds(lambda: near_names("ab" * 64, ["ba" * 60 + str(n) for n in range(500)])) for _ in range(2))
    assert many < 5 * few

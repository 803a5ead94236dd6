"""What a message costs grows no faster than its length, whatever a stranger writes into it."""

import time
from collections.abc import Callable
from uuid import uuid4

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from taskyard_kits.mail import messages, plain_text
from taskyard_kits.mail.settings import MailSettings

LENGTH = 40_000
# Of four times the length: 4 where the time is linear, 16 where it is quadratic.
TIMES = 8
# Too short to be compared.
SECONDS = 0.02

PIECES = [
    "<", "</", "<a ", "<a href='", '<a href="', "<a x=1 ", "<a><b>", "<p>", "</p>", "<br>", "<li>", "<table><tr><td>",
    "<font a=1><p>", "<script>", "</script", "<script><!--<script", "<style", "<title>", "<template>", "<textarea>",
    "<plaintext>", "<svg>", "<math><mi>", "<select><option>", "<!--", "-->", "--!>", "<!", "<?", "<!DOCTYPE ",
    "<![CDATA[", "&", "&#", "&#x", "&amp", "&notit;", "'", '"', "=", ">", " ", "\n", "\r\n", "\t", "\0", "a", "é", "😀",
    "<a href=https://x>", "</a>",
]  # fmt: skip


def seconds(call: Callable[[str], object], text: str) -> float:
    began = time.thread_time()
    call(text)
    return time.thread_time() - began


def grows_linearly(call: Callable[[str], object], make: Callable[[int], str]) -> bool:
    texts = [make(LENGTH), make(2 * LENGTH), make(4 * LENGTH)]
    least = [float("inf")] * len(texts)
    # Another process can make it slower, and nothing can make it faster: what counts is the best of several.
    for _ in range(6):
        least = [min(old, seconds(call, text)) for old, text in zip(least, texts, strict=True)]
        if least[2] < max(SECONDS, TIMES * least[0]) and least[1] < max(SECONDS, TIMES / 2 * least[0]):
            return True
    return False


def repeated(piece: str) -> Callable[[int], str]:
    return lambda length: (piece * (length // len(piece) + 1))[:length]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(PIECES), min_size=1, max_size=4).map("".join))
@example("<a ")
@example("<a href='")
@example("<font a=1><p>")
@example("<table><tr><td>")
@example("<a><b>")
def test_the_text_of_html_takes_time_in_proportion_to_its_length(piece: str) -> None:
    assert grows_linearly(plain_text.of_html, repeated(piece))


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda length: "<a " + " ".join(f"a{n}" for n in range(length // 8)), id="attributes"),
        pytest.param(lambda length: "<a " + " ".join(f"a{n}=1" for n in range(length // 8)) + ">", id="with values"),
        pytest.param(lambda length: "".join(f"<font a={n}><p>" for n in range(length // 16)), id="formatting"),
        pytest.param(lambda length: "".join(f"<x{n}>" for n in range(length // 7)), id="names"),
        pytest.param(lambda length: "<div>" * (length // 11) + "</div>" * (length // 11), id="nested"),
        pytest.param(lambda length: "<b>" * (length // 7) + "</i>" * (length // 7), id="other ends"),
        pytest.param(lambda length: "x" + " " * length + "x", id="white space"),
    ],
)
def test_so_does_html_that_repeats_nothing(make: Callable[[int], str]) -> None:
    assert grows_linearly(plain_text.of_html, make)


@pytest.mark.parametrize("piece", ["a", " ", "\n", "\r", "=", "é", "😀", ".\n", "From \n", "x \n", "\u2028", "=?u?q?="])
def test_so_does_the_message_with_the_text_in_it(piece: str) -> None:
    def compose(text: str) -> bytes:
        message = messages.compose(
            settings=MailSettings(), task_id=uuid4(), to_email="a@example.org", subject="s", text=text, html=text
        )
        return messages.written(message, international=False)

    assert grows_linearly(compose, repeated(piece))


def test_the_text_is_no_longer_than_its_html_allows() -> None:
    """Nothing in it stands for more: `<li>` is the shortest that leaves anything, a link is written out once."""
    for piece in PIECES:
        html = repeated(piece)(LENGTH)
        assert len(plain_text.of_html(html)) <= len(html) + 1

"""What a message costs grows no faster than its length, whatever a stranger writes into it."""

from collections.abc import Callable
from uuid import uuid4

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from taskyard_kits.mail import messages, plain_text
from taskyard_kits.mail.settings import MailSettings
from tests.support.growth import LENGTH, grows_linearly, repeated

PIECES = [
    "<", "</", "<a ", "<a href='", '<a href="', "<a x=1 ", "<a><b>", "<p>", "</p>", "<br>", "<li>", "<table><tr><td>",
    "<font a=1><p>", "<script>", "</script", "<script><!--<script", "<style", "<title>", "<template>", "<textarea>",
    "<plaintext>", "<svg>", "<math><mi>", "<select><option>", "<!--", "-->", "--!>", "<!", "<?", "<!DOCTYPE ",
    "<![CDATA[", "&", "&#", "&#x", "&amp", "&notit;", "'", '"', "=", ">", " ", "\n", "\r\n", "\t", "\0", "a", "é", "😀",
    "<a href=https://x>", "</a>",
]  # fmt: skip


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

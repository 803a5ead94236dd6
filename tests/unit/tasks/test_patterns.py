"""Patterns: they find what `re` finds, whatever is tried, in time that grows with the line only."""

import re
import time

import pytest
import re2
from hypothesis import given, settings
from hypothesis import strategies as st

from taskyard.catalogue.patterns import Pattern, PatternRefused, check_pattern

ATOMS = ["a", "b", "é", "[ab]", "[^a]", r"[\d-]", ".", r"\d", r"\W", r"\s", "^", "$", r"\b", r"\A", r"\Z",
         "(a|b)", "(?:ab)", "x", "(?i:A)", "(a*)", "()", "(|a)", "(?:a|ab)(?:c|bcd)"]  # fmt: skip
QUANTIFIERS = ["", "*", "+", "?", "*?", "+?", "{0,2}", "{2}", "{1,}"]

sources = st.lists(st.tuples(st.sampled_from(ATOMS), st.sampled_from(QUANTIFIERS)), min_size=1, max_size=6).map(
    lambda parts: "".join(f"(?:{atom}){quantifier}" for atom, quantifier in parts)
)
lines = st.text(alphabet="abxAé1 _-cd\t", max_size=12)


@given(sources, lines)
@settings(max_examples=400, deadline=None)
def test_it_finds_what_re_finds(source: str, line: str) -> None:
    expected = re.search(source, line, re.ASCII) is not None
    assert Pattern(source.replace(r"\Z", r"\z")).search(line.encode()) is expected


@pytest.mark.parametrize(
    ("source", "line"),
    [
        ("(a+)+$", "a" * 20_000 + "b"),
        ("(a|a)*b", "a" * 20_000),
        ("(x+x+)+y", "x" * 20_000),
        (".*.*.*.*=.*.*;", "a=" * 10_000),
        (r"^(([a-z])+.)+[A-Z]([a-z])+$", "a" * 20_000),
        (r"(\w+\s*)+:", "word " * 4_000),
    ],
)
def test_what_keeps_re_busy_for_hours_is_quick(source: str, line: str) -> None:
    started = time.perf_counter()
    assert Pattern(source).search(line.encode()) is False
    assert time.perf_counter() - started < 10


@pytest.mark.parametrize(
    "source",
    [r"(a)\1", "(?=a)b", "(?!a)b", "(?<=a)b", "(?<!a)b", "(?>a+)b", "a++b", "(a)?(?(1)b|c)", "(?P<n>a)(?P=n)",
     "(", "[z-a]", "a{2,1}", "*a", "(?L)a", "a" * 301, "(((a{30}){30}){30}){30}", "(){100000}",
     "a|" * 149 + "(b{500}){5}"],
)  # fmt: skip
def test_what_cannot_be_safe_is_refused_at_once(source: str) -> None:
    started = time.perf_counter()
    with pytest.raises(PatternRefused):
        Pattern(source)
    assert time.perf_counter() - started < 10


@pytest.mark.parametrize(("source", "word"), [(r"(a)\1", r"\1"), ("(?=a)b", "(?="), ("a{2,1}", "{2,1}"), ("(", ")")])
def test_what_is_wrong_is_named(source: str, word: str) -> None:
    with pytest.raises(PatternRefused, match="Not a regular expression as RE2 takes them") as caught:
        Pattern(source)
    assert word in str(caught.value)


@pytest.mark.parametrize(
    "source", ["(?i)" + r"\pL" * 98, r"\p{L}{3}" * 30, r"[^\PL]" * 50, ".{1000}", r"\pL{300}", "(?i)" + r"\p{So}" * 42]
)
def test_patterns_that_are_large_once_they_are_compiled_are_refused(source: str) -> None:
    with pytest.raises(PatternRefused, match=r"too large|classes of Unicode"):
        check_pattern(source)


@pytest.mark.parametrize(
    "source", [r"^\p{Lu}\pL+ \p{Lu}\pL+$", "^.{1,200}$", r"^\S+ \d{3} ", "a" * 300, "a|" * 149 + "b", r"(?i)[\pL\pN]+"]
)
def test_usual_patterns_are_not_too_large(source: str) -> None:
    check_pattern(source)
    assert Pattern(source)


def test_a_pattern_that_was_checked_is_not_compiled_again() -> None:
    source = r"(?i)checked before\pL\PL\pL\PL\pL"
    first, again = (_seconds_to_check(source) for _ in range(2))
    assert again < first / 10


def _seconds_to_check(source: str) -> float:
    began = time.thread_time()
    check_pattern(source)
    return time.thread_time() - began


def test_deep_nesting_is_no_matter() -> None:
    assert Pattern("(" * 149 + ")" * 149).search(b"")


def test_letters_of_every_script_are_characters() -> None:
    assert Pattern(r"^.\pL.$").search("äöü".encode())
    assert Pattern("(?i)^É$").search("é".encode())
    assert not Pattern(r"\w").search("é".encode()), "ASCII"
    assert Pattern("a\x00b").search(b"-a\x00b-")


def test_patterns_of_strangers_are_not_kept() -> None:
    before = re2.compile("kept by the library")
    Pattern("a")
    assert re2.compile("kept by the library") is not before

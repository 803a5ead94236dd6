"""Patterns: they find what `re` finds, whatever is tried, in time that grows with the line only."""

import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taskyard.catalogue import patterns
from taskyard.catalogue.patterns import Pattern, PatternRefused

ATOMS = ["a", "b", "é", "[ab]", "[^a]", r"[\d-]", ".", r"\d", r"\W", r"\s", "^", "$", r"\b", r"\A", r"\Z",
         "(a|b)", "(?:ab)", "x", "(?i:A)", "(a*)", "()", "(|a)", "(?:a|ab)(?:c|bcd)"]  # fmt: skip
QUANTIFIERS = ["", "*", "+", "?", "*?", "+?", "{0,2}", "{2}", "{1,}"]

sources = st.lists(st.tuples(st.sampled_from(ATOMS), st.sampled_from(QUANTIFIERS)), min_size=1, max_size=6).map(
    lambda parts: "".join(f"(?:{atom}){quantifier}" for atom, quantifier in parts)
)
lines = st.text(alphabet="abxAé1 _-cd\t", max_size=12)


@given(sources, lines, st.integers(0, 12))
@settings(max_examples=400, deadline=None)
def test_it_finds_what_re_finds_in_one_piece_or_two(source: str, line: str, cut: int) -> None:
    pattern = Pattern(source)
    expected = re.search(source, line) is not None
    assert pattern.search(line) is expected
    state = pattern.advance(pattern.advance(pattern.start, line[:cut]), line[cut:])
    assert pattern.holds(state) is expected


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
    assert Pattern(source).search(line) is False
    assert time.perf_counter() - started < 1


@pytest.mark.parametrize(
    "source",
    [r"(a)\1", "(?=a)b", "(?!a)b", "(?<=a)b", "(?<!a)b", "(?>a+)b", "a++b", "(a)?(?(1)b|c)", "(?P<n>a)(?P=n)",
     "(", "[z-a]", "a{2,1}", "*a", r"\p{L}", "(?L)a", "a" * 301, "(((a{30}){30}){30}){30}", "(){100000}",
     "a{4294967296}", "(?:){4000000000}", "a|" * 149 + "(b{500}){5}"],
)  # fmt: skip
def test_what_cannot_be_safe_is_refused_at_once(source: str) -> None:
    started = time.perf_counter()
    with pytest.raises(PatternRefused):
        Pattern(source)
    assert time.perf_counter() - started < 1


def test_deep_nesting_is_no_matter() -> None:
    assert Pattern("(" * 149 + ")" * 149).search("")


def test_the_automaton_is_forgotten_before_it_gets_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patterns, "_MAX_STEPS", 50)
    pattern = Pattern(r"^[^,]*,(\w+),.{3}$")
    for n in range(300):
        letters = chr(0x4E00 + n) * 3
        assert pattern.search(f"{letters},{letters},{letters}")
        assert not pattern.search(f"{letters},{letters}")
    assert len(pattern.start) <= 60

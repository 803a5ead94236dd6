"""Counting lines: right for every file, at any size, in memory that stays flat."""

import random
import re
import subprocess
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taskyard_kits.files import lines
from taskyard_kits.files.declarations import MAX_MATCHED_BYTES
from taskyard_kits.files.lines import LineCounter
from tests.support.growth import grows_linearly, repeated


def counted(pieces: Iterator[bytes] | list[bytes], pattern: str | None = None) -> LineCounter:
    counter = LineCounter(pattern)
    for piece in pieces:
        counter.feed(piece)
    counter.finish()
    return counter


def plainly(content: bytes, pattern: str | None) -> dict[str, object]:
    """The definition, a line at a time, with nothing clever in it."""
    split = content.split(b"\n")
    unterminated = bool(split[-1])
    if not unterminated:
        split.pop()
    invalid = []
    for n, line in enumerate(split, 1):
        try:
            text = line.decode()
        except UnicodeDecodeError:
            invalid.append(n)
            continue
        if pattern is not None and not re.search(pattern, text.removesuffix("\r"), re.ASCII):
            invalid.append(n)
    return {
        "lines": len(split),
        "blank": sum(not line.strip() for line in split),
        "bytes": len(content),
        "invalid": len(invalid),
        "first_invalid": invalid[:10],
        "unterminated": unterminated,
    }


def seen(counter: LineCounter) -> dict[str, object]:
    return {name: getattr(counter, name) for name in plainly(b"", None)}


contents = st.lists(
    st.sampled_from(
        [b"\n", b"\n", b"\r\n", b"\r", b" ", b"\t", b"a", b"b1", "é".encode(), "😀".encode(), b"\xff",
         b"\xc3",
         b"\xed\xa0\x80", b"\x00", b"\x0b", b"\x85", "\u2028".encode(), b"\xef\xbb\xbf"]
    ),
    max_size=40,
).map(b"".join)  # fmt: skip


@given(contents, st.integers(1, 9), st.sampled_from([None, "a", r"^\w*$", "[^ ]$", "é"]))
@settings(max_examples=500, deadline=None)
def test_the_counts_do_not_depend_on_where_blocks_end(content: bytes, size: int, pattern: str | None) -> None:
    pieces = [content[n : n + size] for n in range(0, len(content), size)]
    assert seen(counted(pieces, pattern)) == plainly(content, pattern)
    assert seen(counted([content], pattern)) == plainly(content, pattern)


FILES = {
    "plain": b"one\ntwo\nthree\n",
    "unterminated": b"one\ntwo",
    "crlf": b"one\r\n\r\ntwo\r\n",
    "blank": b"\n \n\t\n\r\nx\n\n",
    "invalid": b"ok\n\xff\xfe\nok\n\xc3",
    "empty": b"",
    "feed": b"\n",
    "nul": b"\x00\x00\n\x00",
    "separators": "a\u2028b\x85c\x0bd\x0ce\n".encode(),
}


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n"])
@pytest.mark.parametrize(("over", "invalid"), [(0, []), (1, [2])])
def test_a_line_that_is_too_long_does_not_match(end: bytes, over: int, invalid: list[int]) -> None:
    content = b"b\n" + b"a" * (MAX_MATCHED_BYTES - 1 + over) + b"b" + end
    pieces = [content[n : n + lines.BLOCK_BYTES] for n in range(0, len(content), lines.BLOCK_BYTES)]
    for fed in (pieces, [content]):
        assert counted(fed, "b$").first_invalid == invalid
        assert counted(fed).first_invalid == []


@pytest.mark.parametrize("name", FILES)
def test_the_lines_are_those_of_wc(tmp_path: Path, name: str) -> None:
    path = tmp_path / "file"
    path.write_bytes(FILES[name])
    said = int(subprocess.check_output(["wc", "-l", path]).split()[0])
    with path.open("rb") as file:
        counter = counted(lines.blocks(file))
    assert counter.lines - counter.unterminated == said
    assert counter.bytes == len(FILES[name])


def test_only_the_first_ten_invalid_lines_are_named() -> None:
    counter = counted([b"\xff\n" * 1000])
    assert counter.invalid == 1000
    assert counter.first_invalid == list(range(1, 11))


def test_progress_is_told_every_hundred_lines() -> None:
    told: list[int] = []
    counter = LineCounter(report=told.append)
    for size in (99, 1, 350, 50, 7):
        counter.feed(b"x\n" * size)
    counter.finish()
    assert told == [100, 200, 300, 400, 500]


def made_of(size: int, *, line: int) -> Iterator[bytes]:
    piece = b"".join(random.Random(1).choice(b"abcdef ").to_bytes() for _ in range(line - 1)) + b"\n"
    block = piece * max(1, lines.BLOCK_BYTES // line)
    for _ in range(size // len(block)):
        yield block


def peak(pieces: Iterator[bytes], pattern: str | None = None) -> int:
    tracemalloc.start()
    try:
        counted(pieces, pattern)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("pattern", [None, "a.*b"])
def test_memory_does_not_grow_with_the_file(pattern: str | None) -> None:
    small = peak(made_of(1_000_000, line=80), pattern)
    large = peak(made_of(8_000_000, line=80), pattern)
    assert large < small * 1.2 + 200_000


@pytest.mark.parametrize("pattern", [None, "b$"])
def test_memory_does_not_grow_with_the_line(pattern: str | None) -> None:
    def line(blocks: int) -> Iterator[bytes]:
        for _ in range(blocks):
            yield b"a" * lines.BLOCK_BYTES

    small = peak(line(8), pattern)
    assert peak(line(64), pattern) < small * 1.2 + 200_000
    assert counted(line(64), pattern).lines == 1


@pytest.mark.parametrize("pattern", [None, r"[ab]*a[ab]{99}c", r"(?i)(.*x){20}y", r"(\w+\s*)+:$"])
@pytest.mark.parametrize("piece", [b"a", b"ab", b"a\n", b"\n", b"\r", b"\xff", b"\xff\n", b"\xe2\x82", b" ", b"a:"])
def test_the_time_grows_with_the_length_of_the_file_however_long_its_lines_are(
    piece: bytes, pattern: str | None
) -> None:
    def count(content: bytes) -> None:
        counted([content[n : n + 500] for n in range(0, len(content), 500)], pattern)

    assert grows_linearly(count, repeated(piece))

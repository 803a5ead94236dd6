"""Changes of what the corpus holds, as Hypothesis draws them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from hypothesis import strategies as st

_TOKENS = (
    b"\0", b"\r\n", b"\n", b"\r\n\r\n", b" ", b"\t", b":", b",", b"%00", b"%2F", b"%", b"?", b"/", b"//", b"\xff",
    b"\xc3", b"chunked", b"0\r\n\r\n", b"-1", b"ffffffffffffffff", b"Content-Length: 0\r\n",
    b"Transfer-Encoding: chunked\r\n", b"Expect: 100-continue\r\n", b"Connection: close\r\n", b"HTTP/1.0", b"GET ",
    b"HEAD ", b"OPTIONS * ", b"9" * 400, b"x" * 9_000, b'"', b"{", b"}", b"[", b"]",
)  # fmt: skip
_MOST_SEGMENTS = 3

_RAW = (
    "1e400", "-1e999", "1e-400", "NaN", "Infinity", "9" * 5_000, "18446744073709551616", "-9223372036854775809", "-0",
    "0x1", "1_0", "1.0", "true", "null", '""', "[]", "{}", r'"\ud800"', r'"\u0000"', r'"\u2028"', r'"a\r\nb"',
    '"\N{GRINNING FACE}"', '"' + "x" * 70_000 + '"', "[" * 40 + "]" * 40, "[[[]], {}]", '{"a": 1, "a": 2}',
    '{"$secret": "x"}', '"../../etc/passwd"', '"{0.__class__}"', '"%s%n"', '"*"', '"a@b"', '"http://["',
    '"javascript:x"', '"0001-01-01T00:00:00Z"', '"9999-12-31T23:59:59Z"', '"2026-12-01"',
    '"0193aaaa-0000-7000-8000-000000000000"',
)  # fmt: skip


@st.composite
def changed_bytes(draw: st.DrawFn, seeds: Sequence[bytes], *, most: int = 3) -> bytes:
    """One of the seeds, changed in a few places."""
    found = draw(st.sampled_from(seeds))
    for _ in range(draw(st.integers(1, most))):
        start = draw(st.integers(0, len(found)))
        end = min(len(found), start + draw(st.integers(0, 40)))
        put = draw(
            st.one_of(
                st.sampled_from(_TOKENS),
                st.binary(max_size=8),
                st.just(b""),
                st.just(found[start:end] * 2),
                st.sampled_from(seeds).map(lambda other: other[: len(other) // 2]),
            )
        )
        found = found[:start] + put + found[end:]
    return found


@st.composite
def segments(draw: st.DrawFn, content: st.SearchStrategy[bytes]) -> tuple[bytes, ...]:
    """The content, cut where a network may cut it."""
    whole = draw(content)
    cuts = draw(st.lists(st.integers(0, len(whole)), max_size=_MOST_SEGMENTS - 1).map(sorted))
    return tuple(whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True))


@st.composite
def changed_json(draw: st.DrawFn, seeds: Sequence[tuple[str, bytes]]) -> tuple[str, bytes]:
    """A path, and one of the bodies with another value, or none, in a few places; or bytes that were JSON."""
    path, body = draw(st.sampled_from(seeds))
    if draw(st.integers(0, 9)) == 0:
        return path, draw(changed_bytes([body]))
    value = json.loads(body)
    raw: dict[str, str] = {}
    for _ in range(draw(st.integers(1, 2))):
        places = list(_places(value))
        if not places:
            break
        holder, key = draw(st.sampled_from(places))
        match draw(st.sampled_from(["replace", "replace", "remove", "add"])):
            case "remove":
                del holder[key]
            case "add" if isinstance(holder, dict):
                holder[draw(st.text(max_size=3))] = 1
            case _:
                mark = f"@raw{len(raw)}@"
                raw[json.dumps(mark)] = draw(st.sampled_from(_RAW))
                holder[key] = mark
    text = json.dumps(value)
    for mark, token in raw.items():
        text = text.replace(mark, token)
    return path, text.encode()


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every holder in the value with each of its keys."""
    keys: Any = value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in list(keys):
        yield value, key
        yield from _places(value[key])

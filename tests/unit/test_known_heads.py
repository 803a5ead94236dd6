"""Which segments are taken for a head that was met before."""

from types import SimpleNamespace

import pytest

from taskyard_api import known_heads
from taskyard_api.known_heads import KnownHeads

KEY = "ty_" + "a" * 8 + "_" + "b" * 43
BODY = b'{"name": "a"}'


def headers(**more: str) -> dict[str, str]:
    given = {"Host": "x", "Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
    return given | {name.replace("_", "-"): value for name, value in more.items()}


def segment(body: bytes = BODY, /, length: str | None = None, **more: str) -> bytes:
    lines = [f"{name}: {value}\r\n" for name, value in headers(**more).items()]
    lines.insert(2, f"CONTENT-length: {len(body) if length is None else length}\r\n")
    return f"POST /api/v1/tasks HTTP/1.1\r\n{''.join(lines)}\r\n".encode() + body


def learn(known: KnownHeads, body: bytes = BODY, /, **more: str) -> bool:
    """As the parser would have understood it."""
    pairs = [(name.lower().encode(), value.encode()) for name, value in headers(**more).items()]
    scope = {"headers": [*pairs, (b"content-length", b"%d" % len(body))]}
    found = known.read(segment(body, **more), SimpleNamespace(scope=scope, more_body=False, keep_alive=True))
    if found is not None:
        known.learn(*found)
    return found is not None


def test_a_head_is_known_with_another_length() -> None:
    known = KnownHeads()
    assert known.find(segment()) is None
    assert learn(known)
    for size in (1, 9, 10, 5_000):
        found = known.find(segment(b"x" * size))
        assert found is not None
        assert found[1] == b"x" * size


@pytest.mark.parametrize(
    "other",
    [
        segment(length="12"),
        segment(length="14"),
        segment(length="013"),
        segment(length="+13"),
        segment(length="13, 13"),
        segment(length="0"),
        segment(b""),
        segment() + b"x",
        segment() + segment(),
        segment(Content_Length="13"),
        segment(Transfer_Encoding="chunked"),
        segment(Host="y"),
        segment(Authorization=f"Bearer {KEY[:-1]}c"),
        segment().replace(b"CONTENT-length: 13\r\n", b"").replace(b"Host:", b"CONTENT-length: 13\r\nHost:"),
        segment().replace(b"CONTENT-length: 13", b"CONTENT-length:  13"),
        segment().replace(b"CONTENT-length: ", b"CONTENT-length:\r\n "),
        segment().replace(b"\r\nCONTENT", b"\nCONTENT"),
        segment().replace(b"POST", b"PUT"),
    ],
)
def test_what_differs_in_more_than_the_length_is_another_head(other: bytes) -> None:
    known = KnownHeads()
    assert learn(known)
    assert known.find(other) is None
    assert known.find(segment()) is not None


def test_a_head_is_not_learnt_with_names_that_may_change_the_answer() -> None:
    known = KnownHeads()
    for name in ("Idempotency_Key", "Expect", "Transfer_Encoding", "Content_Length", "Unknown"):
        assert not learn(known, **{name: "13"}), name
    assert not learn(known, Accept="text/html")
    assert not learn(known, Accept_Language="de, " * 1000), "it would be kept"
    assert not learn(known, b"")


def test_the_one_that_was_not_used_for_longest_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known_heads, "MAX_KNOWN", 3)
    known = KnownHeads()
    callers = [{"X_Forwarded_For": f"10.0.0.{n}"} for n in range(4)]
    for caller in callers[:3]:
        learn(known, **caller)
    known.find(segment(**callers[0]))
    learn(known, **callers[3])
    assert [known.find(segment(**caller)) is not None for caller in callers] == [True, False, True, True]

"""Bodies of POST /tasks/batch that cost as much as a stranger can make them cost, up to the limit of bodies."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import orjson

MIB = 1024**2
LIMIT = 16 * MIB
# Just below the bound on brackets, braces, commas and colons.
MOST = 499_900
ITEM = "0193aaaa-0000-7000-8000-000000000000"


def plain_text(size: int) -> bytes:
    """What costs least: one text."""
    return b'"' + b"a" * (size - 2) + b'"'


def tasks(count: int, make: Callable[[int], dict[str, object]]) -> bytes:
    return orjson.dumps({"tasks": [make(n) for n in range(count)]})


def echo(value: object) -> dict[str, object]:
    return {"name": "diagnostics.echo", "params": {"value": value}}


def mail(**params: object) -> dict[str, object]:
    return {"name": "email.send", "params": {"to_email": "a@example.org", "subject": "x", "text": "y", **params}}


def lines(pattern: str, **params: object) -> dict[str, object]:
    return {"name": "files.process_large_file", "params": {"item_id": ITEM, "pattern": pattern, **params}}


def letters(n: int, count: int) -> str:
    """Different letters beyond ASCII."""
    return "".join(chr(0x4E00 + (n + 7 * k) % 20_000) for k in range(count))


def thousand_tasks_of_200_parameters() -> bytes:
    return tasks(1000, lambda n: echo({f"p{k}": f"value {k}" for k in range(200)}))


def refused() -> Iterator[tuple[str, bytes]]:
    yield from _shapes()
    yield from _names()
    yield from _contents()


def _shapes() -> Iterator[tuple[str, bytes]]:
    for name, unit in {"lists": b"[[]]", "objects": b'{"a":{}}', "numbers": b"1", "texts": '"€x"'.encode()}.items():
        yield f"16 MiB of {name}", _repeated(unit, LIMIT, LIMIT)
        yield f"{name} up to the bound", _repeated(unit, LIMIT, MOST)
    yield "not JSON", b"1," * (LIMIT // 2)
    yield "nested as deeply as it can be", _repeated(b'{"a":' * 29 + b"1" + b"}" * 29, LIMIT, MOST)
    yield "too deeply nested", b'{"tasks":' + b"[" * 900 + b"]" * 900 + b"}"
    yield "a number out of range", _repeated(b"12345678901234567890123", LIMIT, MOST)
    yield "NUL at the end", _repeated(b"[]", LIMIT, MOST)[:-2] + b',"\\u0000"]}'
    yield "wide text", tasks(1, lambda n: echo("😀" + "a" * (LIMIT - 200)))


def _names() -> Iterator[tuple[str, bytes]]:
    many = _object(MOST // 2 - 10)
    yield "unknown names", many
    yield "unknown names of a task", b'{"tasks":[' + many + b"]}"
    yield "unknown names of a key", b'{"tasks":[{"name":"diagnostics.echo","unique":' + many + b"}]}"
    yield "100 unknown names of each task", b'{"tasks":[' + b",".join([_object(100)] * 1000) + b"]}"
    yield "long names", _object(LIMIT // 90, "x" * 80)
    yield "a name twice", b'{"tasks":[],' + b",".join([b'"a":1'] * (MOST // 2 - 10)) + b"}"
    yield "colons in texts", tasks(1000, lambda n: echo({f"p{k}": "a:b" for k in range(140)} | {"n" * n: "\x00"}))


def _contents() -> Iterator[tuple[str, bytes]]:
    yield "parameters that are too large", tasks(60, lambda n: echo("a" * 270_000))
    yield "long addresses", tasks(1000, lambda n: mail(to_email=f"a@{letters(n, 310)}.com"))
    yield "addresses", tasks(1000, lambda n: mail(to_email=f"a@{letters(n, 60)}.{letters(n, 20)}"))
    yield "unknown types", tasks(1000, lambda n: {"name": f"email.sent{n}" + "x" * 180, "params": {}})
    yield "unknown queues", tasks(1000, lambda n: {**echo(1), "queue": f"q{n}"})
    yield "wrong tags", tasks(1000, lambda n: {**echo(1), "tags": ["x" * 65] * 20})
    yield "unknown parameters", tasks(1000, lambda n: mail(**{f"to_emai{k}": 1 for k in range(200)}))
    yield "lines that cannot be printed", tasks(400, lambda n: mail(subject="\u2029", reply_to="\u2028" * 10_000))
    yield "patterns of many classes", tasks(1000, lambda n: lines(f"(?i){n}" + r"\pL" * 98))


def costly_patterns(count: int = 1000) -> bytes:
    """RE2 compiles each of them, and the last task is wrong."""
    return tasks(count, lambda n: lines(costly_pattern(n), **({"x": 1} if n == count - 1 else {})))


def costly_pattern(n: int) -> str:
    """Takes RE2 as long as one can that is accepted."""
    return rf"(?i){n}\pL\PL\pL\PL\pL"


def _repeated(unit: bytes, size: int, values: int) -> bytes:
    """A list of `unit` of so many bytes or values, whichever comes first."""
    each = sum(map(unit.count, (b"[", b"{", b",", b":"))) + 1
    return b'{"tasks":[' + b",".join([unit] * min(size // (len(unit) + 1) - 8, values // each - 1)) + b"]}"


def _object(count: int, prefix: str = "") -> bytes:
    return b"{" + b",".join(b'"%b%x":1' % (prefix.encode(), n) for n in range(count)) + b"}"

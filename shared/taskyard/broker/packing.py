"""Commands with many arguments, which redis-py would pack one by one in Python: half of what a publication costs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from redis._parsers import Encoder
from redis.connection import PythonRespSerializer

_CUTOFF = 6000  # bytes up to which redis-py joins arguments


@dataclass(frozen=True, slots=True)
class Packed:
    """The last arguments of a command, as Redis's protocol has them: each `$length\\r\\n...\\r\\n`."""

    count: int
    arguments: bytes


class Packer(PythonRespSerializer):
    """redis-py's own, which also takes `Packed`."""

    def __init__(self) -> None:
        encoder: Any = Encoder
        super().__init__(_CUTOFF, encoder("utf-8", "strict", False).encode)

    def pack(self, *args: Any) -> list[bytes]:
        if type(args[-1]) is not Packed:
            packed: list[bytes] = super().pack(*args)  # type: ignore[no-untyped-call]
            return packed
        last = args[-1]
        first: bytes = b"".join(super().pack(*args[:-1]))  # type: ignore[no-untyped-call]
        return [b"*%d%b%b" % (len(args) - 1 + last.count, first[first.index(b"\r\n") :], last.arguments)]

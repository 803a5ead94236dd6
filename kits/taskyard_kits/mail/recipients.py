"""The recipients of a newsletter, from its parameters or a stored file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import BinaryIO

from pydantic import ValidationError

from taskyard import TaskError

from .declarations import NewsletterSubmitted, Recipient

MAX_RECIPIENTS = 200_000
MAX_LINE_BYTES = 8192
_BLOCK_BYTES = 256 * 1024
_FIRST = 10


class Recipients:
    """Walks over what was given, in its order, and counts; what is no recipient is skipped."""

    def __init__(self) -> None:
        self._seen: set[str] = set()
        self._duplicates = 0
        self._skipped = 0
        self._skipped_lines: list[int] = []

    def read(self, given: Iterable[Recipient | bytes]) -> Iterator[Recipient | None]:
        """As many as were given: None in the place of what is skipped, and of an address that came before."""
        for number, one in enumerate(given, 1):
            recipient = one if isinstance(one, Recipient) else _recipient(one)
            if recipient is None:
                self._skipped += 1
                if len(self._skipped_lines) < _FIRST:
                    self._skipped_lines.append(number)
                yield None
            elif (address := address_key(recipient)) in self._seen:
                self._duplicates += 1
                yield None
            else:
                self._seen.add(address)
                yield recipient

    @property
    def counted(self) -> NewsletterSubmitted:
        return NewsletterSubmitted(
            recipients=len(self._seen),
            duplicates=self._duplicates,
            skipped=self._skipped,
            skipped_lines=self._skipped_lines,
        )


def address_key(recipient: Recipient) -> str:
    """The same for what providers deliver to the same mailbox: hardly any tells capitals apart."""
    return recipient.to_email.casefold()


def lines(file: BinaryIO) -> Iterator[bytes]:
    """In memory that does not depend on the file. Raises TaskError where it has no lines."""
    rest, number = b"", 0
    while block := file.read(_BLOCK_BYTES):
        *whole, rest = (rest + block).split(b"\n")
        for line in (*whole, rest):
            number += 1
            if len(line) > MAX_LINE_BYTES:
                raise TaskError("recipients_unreadable", retryable=False, line=number, limit=MAX_LINE_BYTES)
        number -= 1  # the rest goes on
        yield from whole
    if rest:
        yield rest


def counted(file: BinaryIO) -> int:
    """The lines. Raises TaskError where there are too many, or none that could be read."""
    count = sum(1 for _ in lines(file))
    if count > MAX_RECIPIENTS:
        raise TaskError("too_many_recipients", retryable=False, count=count, limit=MAX_RECIPIENTS)
    return count


def _recipient(line: bytes) -> Recipient | None:
    line = line.removeprefix(b"\xef\xbb\xbf").strip()
    try:
        if line.startswith(b"{"):
            return Recipient.model_validate_json(line)
        return Recipient(to_email=line.decode())
    except (ValidationError, UnicodeDecodeError):
        return None

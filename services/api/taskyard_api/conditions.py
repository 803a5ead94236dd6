"""Conditional requests (RFC 9110, section 13): what a client has already, or must not overwrite."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime

import falcon.asgi
from falcon import ETag

from taskyard.domain.messages import message

from .refusals import PreconditionFailed
from .requests import Request


class Validators:
    """Of one representation: its strong entity tag, and when it was made."""

    def __init__(self, tag: str, modified: datetime) -> None:
        self.etag = f'"{tag}"'
        self._tag = ETag(tag)
        self._modified = modified.astimezone(UTC).replace(microsecond=0)

    def answer_from_cache(self, req: Request, resp: falcon.asgi.Response) -> bool:
        """Tells the validators; where the caller has this representation, the answer is 304, and True.

        Raises PreconditionFailed.
        """
        resp.set_header("ETag", self.etag)
        resp.set_header("Last-Modified", format_datetime(self._modified, usegmt=True))
        if not self._is_unchanged(req):
            return False
        resp.status = 304
        return True

    def _is_unchanged(self, req: Request) -> bool:
        """In the order of section 13.2.2."""
        if (wanted := req.if_match) is not None:
            if not any(tag == "*" or (isinstance(tag, ETag) and tag.strong_compare(self._tag)) for tag in wanted):
                raise PreconditionFailed(message("If-Match names another version."))
        elif (since := _date(req, "If-Unmodified-Since")) is not None and self._modified > since:
            raise PreconditionFailed(message("It was made after If-Unmodified-Since."))
        if (known := req.if_none_match) is not None:
            return any(tag in ("*", self._tag) for tag in known)
        since = _date(req, "If-Modified-Since")
        return since is not None and self._modified <= since

    def allow_a_range(self, req: Request) -> bool:
        """If-Range (section 13.1.5): a strong tag, or exactly the date that was sent."""
        given = req.get_header("If-Range")
        return given in {None, self.etag, format_datetime(self._modified, usegmt=True)}


def _date(req: Request, name: str) -> datetime | None:
    """A header that is no date, or none that Python has, is ignored."""
    try:
        found = parsedate_to_datetime(req.get_header(name) or "")
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found
    except (ValueError, OverflowError):
        return None

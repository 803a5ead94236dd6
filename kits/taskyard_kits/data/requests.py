"""Asks another system for a page, and says what its refusals mean for the task."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from taskyard import AuthenticationFailed, RateLimited, TaskContext, TaskError
from taskyard.outbound import client
from taskyard.outbound.client import AddressRefused, Answer, Bounds, Unanswered
from taskyard.outbound.retry_after import retry_after
from taskyard.outbound.urls import Url

from .pages import MAX_PAGE_BYTES, too_large
from .settings import DataSettings

# A redirect is refused: the token is for the address that was given.
_BOUNDS = Bounds(read_seconds=30.0, total_seconds=60.0, most_bytes=MAX_PAGE_BYTES, redirects=0)
_RATE_LIMITED = {429, 503}
_PASSES = {408, 425}
# What servers say of a cursor that they do not know, or no more.
_CURSOR_REFUSED = {400, 404, 410, 422}
# So long a page is waited for within an attempt, and so often.
_LONGEST_PAUSE = timedelta(seconds=30)
_PAUSES = 3


async def page_of(url: Url, token: str | None, context: TaskContext, *, is_first: bool) -> Answer:
    """The answer, a 2xx. Where a short pause is asked for, it is made here. `is_first`: it is asked for without a
    cursor.

    Raises RateLimited where a longer one is, AuthenticationFailed, and TaskError.
    """
    answer = await _asked(url, token, context)
    for _ in range(_PAUSES):
        pause = retry_after(answer.headers.get("retry-after")) if answer.status in _RATE_LIMITED else None
        if pause is None or pause > _LONGEST_PAUSE or pause.total_seconds() > context.seconds_left / 2:
            break
        context.log(f"The other system asks for a pause of {pause.total_seconds():.0f} s.")
        await asyncio.sleep(pause.total_seconds())
        answer = await _asked(url, token, context)
    if not is_first and answer.status in _CURSOR_REFUSED:
        raise TaskError("sync_cursor_refused", retryable=False, status=answer.status)
    return _checked(answer)


async def _asked(url: Url, token: str | None, context: TaskContext) -> Answer:
    settings: DataSettings = context.settings
    headers = {"Accept": "application/json"} | ({} if token is None else {"Authorization": f"Bearer {token}"})
    try:
        return await client.request("GET", url, networks=settings.reachable, headers=headers, bounds=_BOUNDS)
    except AddressRefused:
        raise TaskError("sync_address_refused", retryable=False) from None
    except Unanswered as e:
        if e.reason == "redirects":
            raise TaskError("sync_redirected", retryable=False) from None
        raise TaskError("sync_unanswered", reason={"phrase": f"sync_{e.reason}"}) from None


def _checked(answer: Answer) -> Answer:
    match answer.status:
        case status if 200 <= status < 300:
            if answer.is_cut:
                raise too_large()
            return answer
        case 401 | 403:
            raise AuthenticationFailed("sync_not_authorised", status=answer.status)
        case 429 | 503 if (after := retry_after(answer.headers.get("retry-after"))) is not None or answer.status == 429:
            raise RateLimited("sync_rate_limited", after=after, status=answer.status)
        case status if status in _PASSES or status >= 500:
            raise TaskError("sync_unavailable", status=status)
        case status:
            raise TaskError("sync_refused", retryable=False, status=status)

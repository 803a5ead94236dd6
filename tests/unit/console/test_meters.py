"""What the console measures: its pages, what of their time calls of the API took, and sign-ins that were refused."""

from __future__ import annotations

import asyncio
import re

import httpx2
import pytest
from prometheus_client import generate_latest

from taskyard.domain.api_keys import make_key
from taskyard_console.calls import MeasuredHttp, PageCalls, calls_of_page

from .console_app import Api, Browser


def test_calls_at_the_same_time_count_once() -> None:
    calls = PageCalls()
    for moment, happens in ((1.0, calls.begin), (2.0, calls.begin), (4.0, calls.end), (5.0, calls.end)):
        happens(moment)
    calls.begin(10.0)
    calls.end(11.0)
    assert (calls.count, calls.seconds) == (3, 5.0)


def test_a_page_says_how_many_calls_it_made_and_what_they_took() -> None:
    browser = Browser()
    browser.sign_in()
    told = browser.get("/operations").headers["server-timing"]
    found = re.fullmatch(r'api;dur=([\d.]+);desc="(\d+)", page;dur=([\d.]+)', told)
    assert found is not None, told
    assert found[2] == "1", "its list: what the key may do is known, and the verdict is not waited for"
    assert float(found[1]) <= float(found[3])


def test_what_came_of_each_call_is_told_also_where_there_is_no_answer() -> None:
    told: list[str] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        if request.url.path == "/away":
            raise httpx2.ConnectError("refused")
        return httpx2.Response(int(request.url.path[1:]))

    async def ask() -> PageCalls:
        calls_of_page.set(calls := PageCalls())
        transport = httpx2.MockTransport(answer)
        async with MeasuredHttp(
            lambda outcome, _: told.append(outcome), base_url="http://api.test", transport=transport
        ) as http:
            for path in ("/200", "/404", "/503"):
                await http.get(path)
            with pytest.raises(httpx2.ConnectError):
                await http.get("/away")
        return calls

    assert asyncio.run(ask()).count == 4
    assert told == ["answered", "refused", "failed", "away"]


def test_pages_and_refused_sign_ins_are_counted_by_route_and_reason() -> None:
    browser = Browser(Api())
    browser.get("/tasks/00000000-0000-0000-0000-000000000001")
    browser.get("/nothing/here")
    browser.get("/sign-in")
    browser.post("/sign-in", None, key=make_key().text)
    browser.get("/sign-in/link?token=old")
    page = generate_latest(browser.metrics.exposed).decode()
    assert 'console_page_seconds_count{page="/tasks/{task_id}"} 1.0' in page
    assert 'console_page_seconds_count{page="_other"} 1.0' in page
    for reason, count in (("key", 1), ("link", 1), ("password", 0)):
        assert f'console_sign_ins_refused_total{{reason="{reason}"}} {count}.0' in page

"""Records of another system: each page once, from where the last sync ended, and within bounds. It is a real server."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from sqlalchemy import Engine

from taskyard import TaskContext
from taskyard.domain.ids import new_id
from taskyard.domain.tasks import Released, RetryIn
from taskyard.outbound import client
from taskyard.running.trial import NotAdmitted
from taskyard.store import ledger, record_syncs, records
from taskyard_kits.data import pages, requests, tasks, walk
from taskyard_kits.data.settings import DataSettings
from taskyard_kits.data.words import ERRORS, PHRASES
from tests.kits.conftest import Run
from tests.support.paged_api import TOKEN, PagedApi, paged_api

LOCAL = DataSettings(outbound_networks=("127.0.0.0/8",))


@pytest.fixture
def api() -> Iterator[PagedApi]:
    with paged_api() as made:
        made.items = [{"id": n, "name": f"Ő {n}"} for n in range(8)]
        yield made


@pytest.fixture
def sync(run: Run, api: PagedApi) -> Any:
    def run_sync(path: str = "/items", *, settings: DataSettings = LOCAL, **more: Any) -> Any:
        options = {name: more.pop(name) for name in ("task_id", "submitted_by", "allowed_queues") if name in more}
        params = {"url": more.pop("url", api.url + path), "collection": "people", **more}
        return run("data.sync", params, settings=settings, **options)

    return run_sync


@pytest.fixture
def stored(engine: Engine) -> Any:
    def read(owner: str | None = None) -> dict[str, Any]:
        return ledger.run(engine, partial(records.page, collection="people", owner=owner))

    return read


def test_records_of_all_pages_are_stored_under_their_keys(sync: Any, stored: Any, api: PagedApi) -> None:
    assert sync().result == {
        "collection": "people",
        "pages": 3,
        "records": 8,
        "inserted": 8,
        "updated": 0,
        "unchanged": 0,
        "invalid": 0,
        "invalid_items": [],
        "complete": True,
    }
    assert stored() == {str(n): {"id": n, "name": f"Ő {n}"} for n in range(8)}
    assert api.asked == ["/items", "/items?cursor=3", "/items?cursor=6"]


def test_the_next_sync_begins_with_the_page_that_was_the_last(sync: Any, stored: Any, api: PagedApi) -> None:
    sync()
    api.items += [{"id": 8}, {"id": 2, "name": "changed"}]
    api.asked.clear()
    found = sync().result
    assert [found[name] for name in ("pages", "records", "inserted", "updated", "unchanged")] == [2, 4, 1, 1, 2]
    assert api.asked == ["/items?cursor=6", "/items?cursor=9"]
    assert stored()["2"]["name"] == "changed"
    again = sync(full=True).result
    assert [again[name] for name in ("pages", "records", "updated")] == [4, 10, 2]


def test_pages_are_followed_by_their_link_headers(sync: Any, stored: Any, api: PagedApi) -> None:
    assert sync("/linked", paging="link", page_size=5).result["records"] == 8
    assert api.asked == ["/linked?limit=5", "/linked?cursor=5&limit=5"]
    assert len(stored()) == 8


@pytest.mark.parametrize(
    ("header", "following"),
    [
        ('</2>; title="; rel=next"; rel="last"', None),
        ('</2>; title="\\"; rel=next"', None),
        ('</1>; title="</3>; rel=next, a"; rel=prev, </2>; title="a, \\"b"; rel=next', "/2"),
        ('</1>; rel=prev; rel=next, </2>;REL = "last Next"', "/2"),
        ("</2>; rel=nextish, </3>; rev=next, </4>", None),
        ('</2>; title="not closed; rel=next', None),
    ],
    ids=["in a title", "behind a quote in it", "commas", "first relation", "others", "open quote"],
)
def test_what_is_quoted_in_a_link_header_is_no_relation(
    sync: Any, api: PagedApi, header: str, following: str | None
) -> None:
    api.answers = [(200, {"Link": header}, b"[]"), (200, {}, b"[]")]
    assert sync("/1", paging="link").result["pages"] == (1 if following is None else 2)
    assert api.asked == ["/1", *([] if following is None else [following])]


def test_fields_may_lie_deeper_and_parameters_have_other_names(sync: Any, stored: Any, api: PagedApi) -> None:
    api.items = [{"meta": {"uid": "a"}, "v": 1}, {"meta": {"uid": "b"}}]
    found = sync("/items?x=1", items_field="data.items", key_field="meta.uid", page_size=1).result
    assert (found["records"], found["pages"]) == (2, 2)
    assert api.asked == ["/items?x=1&limit=1", "/items?x=1&limit=1&cursor=1"]
    assert list(stored()) == ["a", "b"]


def test_the_token_is_sent_and_a_wrong_one_is_final(sync: Any, api: PagedApi) -> None:
    api.token = TOKEN
    assert sync(token=TOKEN).result["records"] == 8
    done = sync(token="another", full=True)
    assert (done.fault.code, done.will_retry) == ("sync_not_authorised", False)


def test_an_attempt_goes_on_behind_the_pages_that_are_written(sync: Any, stored: Any, api: PagedApi) -> None:
    task_id = new_id()
    api.answers = [None, (500, {}, b"")]
    first = sync(task_id=task_id, full=True)
    assert (first.fault.code, first.will_retry) == ("sync_unavailable", True)
    assert len(stored()) == 3
    found = sync(task_id=task_id, full=True).result
    assert [found[name] for name in ("pages", "records", "inserted", "unchanged")] == [3, 8, 8, 0]
    assert api.asked == ["/items", "/items?cursor=3", "/items?cursor=3", "/items?cursor=6"]
    assert sync(task_id=task_id, full=True).result == found, "it is done"
    assert len(api.asked) == 4


def test_a_short_pause_is_made_and_a_longer_one_is_the_next_attempts(sync: Any, api: PagedApi) -> None:
    api.answers = [(429, {"Retry-After": "0"}, b""), (503, {"Retry-After": "0"}, b""), None]
    done = sync()
    assert (done.result["records"], sum("a pause of 0 s" in line for line in done.logs)) == (8, 2)
    api.answers = [(429, {"Retry-After": "120"}, b"")]
    done = sync()
    assert done.fault.code == "sync_rate_limited"
    assert isinstance(done.outcome, RetryIn)
    assert done.outcome.delay.total_seconds() == 120
    api.answers = [(429, {"Retry-After": "0"}, b"")] * 4
    assert sync().fault.code == "sync_rate_limited"
    api.answers = [(429, {}, b"")]
    assert sync().will_retry


def test_a_sync_is_given_back_at_no_cost_where_its_time_is_nearly_over(
    sync: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    task_id = new_id()
    with monkeypatch.context() as patch:
        patch.setattr(TaskContext, "seconds_left", 0.0)
        assert all(isinstance(sync(task_id=task_id).outcome, Released) for _ in range(2))
    assert sync(task_id=task_id).result["pages"] == 3


def test_at_most_max_records_are_read_and_the_next_sync_goes_on_there(sync: Any, stored: Any, api: PagedApi) -> None:
    found = sync(max_records=4).result
    assert (found["records"], found["complete"]) == (6, False)
    found = sync(max_records=4).result
    assert (found["records"], found["complete"], len(stored())) == (2, True, 8)


def answer(**fields: Any) -> tuple[int, dict[str, str], bytes]:
    return 200, {}, json.dumps({"items": [{"id": 1}], **fields}).encode()


@pytest.mark.parametrize(
    ("answers", "params", "code"),
    [
        ([answer(next_cursor="a"), answer(next_cursor="a")], {}, "sync_cursor_repeats"),
        ([answer(next_cursor="a"), answer(next_cursor="b"), answer(next_cursor="a")], {}, "sync_cursor_repeats"),
        ([answer(next_cursor="a" * 1_001)], {}, "sync_page_invalid"),
        ([answer(next_cursor=["a"])], {}, "sync_page_invalid"),
        ([answer(next_cursor="é" * 400)], {}, "sync_address"),
        ([(200, {"Link": '<http://example.org/x>; rel="next"'}, b"[]")], {"paging": "link"}, "sync_other_origin"),
        ([(200, {"Link": '<ftp://example.org/x>; rel="next"'}, b"[]")], {"paging": "link"}, "sync_page_invalid"),
        ([(200, {}, b"{")], {}, "sync_page_invalid"),
        ([(200, {}, b"[" * 100_000)], {}, "sync_page_invalid"),
        ([answer(items="no list")], {}, "sync_page_invalid"),
        ([answer(items=["no object"])], {}, "sync_item_invalid"),
        ([answer(items=[{"id": None}])], {}, "sync_item_invalid"),
        ([answer(items=[{"id": 1, "x": "\0"}])], {}, "sync_item_invalid"),
        ([answer(items=[{"id": 1, "x": "x" * 200_000}])], {}, "sync_item_invalid"),
        ([answer(items=[{"id": n} for n in range(10_001)])], {}, "sync_page_too_large"),
        ([(200, {}, b" " * (pages.MAX_PAGE_BYTES + 1))], {}, "sync_page_too_large"),
        ([(302, {"Location": "/other"}, b"")], {}, "sync_redirected"),
        ([(404, {}, b"")], {}, "sync_refused"),
        ([(200, {"Content-Encoding": "gzip"}, gzip.compress(b"[]"))], {}, "sync_page_invalid"),
    ],
    ids=["repeats", "a circle", "long cursor", "list as cursor", "long address", "other host", "other scheme",
         "no JSON", "deep JSON", "no list", "no object", "no key", "NUL", "large item", "many items", "large page",
         "redirect", "not found", "compressed"],
)  # fmt: skip
def test_a_source_that_does_not_page_as_it_should_is_refused(
    sync: Any, api: PagedApi, answers: list[Any], params: dict[str, Any], code: str
) -> None:
    api.answers = answers
    done = sync(**params)
    assert (done.fault.code, done.will_retry) == (code, False)


def test_private_addresses_are_refused_unless_a_setting_allows_them(sync: Any, api: PagedApi) -> None:
    done = sync(settings=DataSettings())
    assert (done.fault.code, done.will_retry) == ("sync_address_refused", False)
    assert api.asked == []


def test_a_server_that_is_away_is_tried_again_soon(sync: Any) -> None:
    done = sync(url="http://127.0.0.1:1/items")
    assert (done.fault.code, done.will_retry) == ("sync_unanswered", True)
    assert done.fault.message.startswith("The other system did not answer: there is no connection to it.")


@pytest.fixture
def while_a_page_is_under_way(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Calls something once, between the answer of the other system and its use."""
    asked = requests.page_of

    def call(step: Callable[[], Any]) -> list[Any]:
        found: list[Any] = []

        async def interrupted(*arguments: Any, **more: Any) -> Any:
            answered = await asked(*arguments, **more)
            monkeypatch.setattr(tasks, "page_of", asked)
            found.append(await asyncio.to_thread(step))
            return answered

        monkeypatch.setattr(tasks, "page_of", interrupted)
        return found

    return call


def test_a_second_task_waits_while_the_first_one_reads(sync: Any, while_a_page_is_under_way: Any) -> None:
    second = while_a_page_is_under_way(partial(sync, full=True))
    assert (sync().result["inserted"], second[0].fault.code) == (8, "sync_busy")
    assert second[0].outcome.delay.total_seconds() == 60
    assert sync(full=True).result["unchanged"] == 8


def test_a_task_that_was_taken_for_dead_keeps_its_counts_and_does_not_begin_again(
    sync: Any, stored: Any, api: PagedApi, while_a_page_is_under_way: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    task_id = new_id()
    api.answers = [None, (500, {}, b"")]
    assert sync(task_id=task_id, full=True).fault.code == "sync_unavailable"
    api.answers = [None, (500, {}, b"")]
    monkeypatch.setattr(record_syncs, "HELD", timedelta(0))
    second = while_a_page_is_under_way(sync)
    assert sync(task_id=task_id, full=True).fault.code == "sync_overtaken"
    assert second[0].fault.code == "sync_unavailable"
    found = sync(task_id=task_id, full=True).result
    assert [found[name] for name in ("pages", "records", "inserted", "complete")] == [3, 8, 8, True]
    assert api.asked == ["/items", *["/items?cursor=3"] * 4, "/items?cursor=6"]
    assert len(stored()) == 8


def test_a_task_that_fails_leaves_its_source_to_others_at_once(sync: Any, api: PagedApi) -> None:
    api.answers = [None, (404, {}, b"")]
    assert sync().fault.code == "sync_cursor_refused"
    assert sync().result["records"] == 5


@pytest.mark.parametrize("status", [400, 404, 410, 422])
def test_a_stored_cursor_that_has_expired_is_told_apart_and_full_begins_again(
    sync: Any, api: PagedApi, status: int
) -> None:
    sync()
    api.answers = [(status, {}, b"")]
    done = sync()
    assert (done.fault.code, done.will_retry) == ("sync_cursor_refused", False)
    assert "`full`" in done.fault.message
    assert sync(full=True).result["records"] == 8


def test_empty_pages_without_an_end_are_not_followed_for_ever(
    sync: Any, api: PagedApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(walk, "MAX_EMPTY_PAGES", 3)
    empty = [answer(items=[], next_cursor=f"c{n}") for n in range(5)]
    api.answers = [*empty[:2], answer(next_cursor="a"), *empty[2:]]
    done = sync()
    assert (done.fault.code, done.will_retry, len(api.asked)) == ("sync_empty_pages", False, 6)


def test_a_task_reads_a_number_of_pages_and_the_next_one_goes_on_there(
    sync: Any, api: PagedApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(walk, "MAX_PAGES", 2)
    found = [sync().result for _ in range(2)]
    assert [(one["pages"], one["records"], one["complete"]) for one in found] == [(2, 6, False), (1, 2, True)]


def test_as_many_invalid_items_as_are_allowed_are_passed_over(sync: Any, stored: Any, api: PagedApi) -> None:
    api.items[1], api.items[4], api.items[7] = "no object", {"id": None}, {"id": [1]}
    done = sync(max_invalid_items=2)
    assert (done.fault.code, len(stored())) == ("sync_item_invalid", 4)
    assert done.fault.message.startswith("Item 2 of a page becomes no record: the key is neither a text")
    found = sync(max_invalid_items=3, full=True).result
    assert [found[name] for name in ("records", "inserted", "unchanged", "invalid")] == [8, 1, 4, 3]
    assert found["invalid_items"] == [
        {"page": 1, "item": 2, "reason": "not_an_object"},
        {"page": 2, "item": 2, "reason": "key_missing"},
        {"page": 3, "item": 2, "reason": "key_unusable"},
    ]


def test_a_restricted_key_syncs_into_its_own_records_with_a_cursor_of_its_own(
    sync: Any, stored: Any, api: PagedApi
) -> None:
    sync()
    assert sync(submitted_by="mine", allowed_queues=["default"]).result["inserted"] == 8
    assert len(stored("mine")) == 8


def test_what_cannot_be_asked_is_refused_at_submit(sync: Any) -> None:
    urls = ("ftp://a", "http://user:pass@127.0.0.1/x", "http://user@127.0.0.1", "http://127.0.0.1/x#y", "http:////a@b/")
    for params in (*({"url": url} for url in urls), {"collection": "a b"}, {"token": "a\nb"}, {"cursor_param": "a&b"}):
        with pytest.raises(NotAdmitted):
            sync(**params)


def test_each_reason_has_words() -> None:
    assert {f"sync_{reason}" for reason in client.REASONS} - {"sync_redirects"} <= {*PHRASES}
    assert {f"page_{reason}" for reason in ("json", "number", "no_items", "cursor", "encoding")} <= {*PHRASES}
    assert all({"en", "de", "fr", "hu"} == {*words} for words in ERRORS.values())

"""Records over HTTP: those of a collection, page by page, in the order of their keys."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from taskyard.domain.ids import new_id
from taskyard.store import ledger, records
from taskyard.store.records import MAX_KEY_BYTES
from taskyard_api import record_models
from tests.integration.api.conftest import Api

PATH = "/api/v1/records"


def put(api: Api, rows: dict[str, Any], owner: str | None = None) -> None:
    ledger.run(api.engine, lambda conn: records.upsert(conn, "people", rows, task_id=new_id(), owner=owner))


def pages(http: httpx.Client, **query: Any) -> list[list[str]]:
    """The keys of each page."""
    found: list[list[str]] = []
    cursor: dict[str, str] = {}
    while True:
        answer = http.get(PATH, params={"collection": "people", **query, **cursor})
        assert answer.status_code == 200, answer.text
        page = record_models.RecordPage.model_validate_json(answer.content)
        found.append([record.key for record in page.items])
        if page.next_cursor is None:
            return found
        cursor = {"cursor": page.next_cursor}


def test_records_are_listed_by_pages_in_the_order_of_their_keys(api: Api) -> None:
    longest = "z" * MAX_KEY_BYTES
    put(api, {"b": {"n": 1.5}, "a": [None, "ő"], "ő": 1, longest: {}})
    keys = [key for page in pages(api.http, limit=1) for key in page]
    assert sorted(keys) == sorted(["a", "b", "ő", longest])
    assert pages(api.http) == [keys]
    shown = api.http.get(PATH, params={"collection": "people"}).json()["items"][0]
    assert (shown["key"], shown["data"]) == ("a", [None, "ő"])
    assert pages(api.http, collection="others") == [[]]


def test_a_page_of_large_records_ends_early(api: Api) -> None:
    put(api, {f"{n:02}": "x" * 300_000 for n in range(7)} | {"99": "x" * 2_000_000})
    assert [len(page) for page in pages(api.http)] == [3, 3, 1, 1]


def test_records_beyond_a_page_are_not_read(api: Api) -> None:
    """Their numbers are short where they are stored, and long where they are written out."""
    put(api, {f"{n:02}": [1e308] * 1_000 for n in range(40)})
    assert [len(page) for page in pages(api.http)] == [3] * 13 + [1]
    values = {"owner": "", "collection": "people", "after": None, "limit": 200, "max_bytes": 1 << 20}
    with api.engine.connect() as conn:
        lines = conn.execute(sa.text(f"EXPLAIN (ANALYZE, TIMING OFF) {records._LIST.text}"), values).scalars().all()
    read = [line for line in lines if "on record" in line]
    assert len(read) == 2
    assert "rows=1 loops=1" in read[0].replace(".00", "")
    assert int(read[1].rpartition("loops=")[2].rstrip(")")) <= 4


def test_a_restricted_key_sees_its_own_records_and_one_without_read_none(api: Api) -> None:
    put(api, {"a": 1})
    put(api, {"b": 1}, owner="mine")
    assert pages(api.client(api.key("read", queues=["default"], name="mine"))) == [["b"]]
    assert pages(api.client(api.key("read", queues=["default"], name="other"))) == [[]]
    assert pages(api.http) == [["a"]]
    assert api.client(api.key("submit")).get(PATH, params={"collection": "people"}).status_code == 403


@pytest.mark.parametrize(
    "query",
    [{}, {"collection": "a b"}, {"limit": 0}, {"limit": 201}, {"cursor": "AA"}, {"cursor": "_w"},
     {"cursor": "A" * 9_999}, {"key": "a"}],
    ids=["nothing", "name", "limit 0", "limit 201", "NUL", "no UTF-8", "long", "unknown"],
)  # fmt: skip
def test_what_is_no_page_of_a_collection_is_refused(api: Api, query: dict[str, Any]) -> None:
    answer = api.http.get(PATH, params={"collection": "people", **query} if query else {})
    assert answer.status_code == 422

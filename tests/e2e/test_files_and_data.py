"""Imports, documents and syncs from the call to their effect: one stack of real processes, and another system that is a
server of its own. Workers that die come and go."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from PIL import Image

from tests.kits.files.documents import RED, Pages, docx, drawing, picture, relation
from tests.kits.files.test_generate_thumbnail import (
    BLUE,
    GREEN,
    ORIENTATION,
    WHITE,
    alike,
    corners,
    png_header,
    saved,
)
from tests.kits.files.test_generate_thumbnail import RED as PURE_RED
from tests.kits.files.test_generate_thumbnail import picture as photograph
from tests.kits.files.workbooks import with_entities, workbook
from tests.support.composed import guard_moves
from tests.support.fleet import Fleet, wait_for
from tests.support.mortal_worker import mortal_worker
from tests.support.paged_api import TOKEN, PagedApi, paged_api

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]


class Stack:
    """An API and a scheduler that stay, and a worker at a time."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        fleet.start_api()
        fleet.start_scheduler()

    def worker(self, dies_at: str | None = None) -> AbstractContextManager[Path]:
        return mortal_worker(self.fleet, dies_at)

    def upload(self, content: bytes, name: str) -> str:
        answer = self.fleet.http.post("/tree-items", content=content, headers={"X-Filename": name})
        assert answer.status_code == 201, answer.text
        return str(answer.json()["item_id"])

    def submit(self, name: str, **params: Any) -> str:
        answer = self.fleet.http.post("/tasks", json={"name": name, "params": params})
        assert answer.status_code == 202, answer.text
        return str(answer.json()["id"])

    def ended(self, task_id: str, state: str = "succeeded") -> Any:
        self.fleet.wait_state(task_id, state, seconds=60)
        return self.fleet.http.get(f"/tasks/{task_id}", headers={"Accept-Language": "hu"}).json()

    def records(self, collection: str) -> dict[str, Any]:
        found: dict[str, Any] = {}
        query = {"collection": collection, "limit": "200"}
        while True:
            page = self.fleet.http.get("/records", params=query).json()
            assert not {item["key"] for item in page["items"]} & {*found}
            found |= {item["key"]: item["data"] for item in page["items"]}
            if page["next_cursor"] is None:
                return found
            query["cursor"] = page["next_cursor"]


@pytest.fixture(scope="module")
def stack(
    tmp_path_factory: pytest.TempPathFactory, new_database: Callable[[], str], new_redis_url: Callable[[], str]
) -> Iterator[Stack]:
    fleet = Fleet(tmp_path_factory.mktemp("files"), new_database(), new_redis_url())
    fleet.environment["TASKYARD_OUTBOUND_NETWORKS"] = "127.0.0.0/8"
    guard_moves(fleet.engine)
    try:
        yield Stack(fleet)
    finally:
        fleet.stop()


@pytest.fixture(scope="module")
def other_system() -> Iterator[PagedApi]:
    with paged_api() as api:
        api.token = TOKEN
        yield api


@pytest.mark.parametrize(
    "place",
    [pytest.param("chunk.before:2", marks=pytest.mark.long), "chunk.written:2", "chunk.after:2"],
    ids=["before", "inside", "after"],
)
@pytest.mark.long
def test_a_worker_that_dies_around_a_chunk_doubles_and_loses_no_row(stack: Stack, place: str) -> None:
    collection = f"people-{place[6:-2]}"
    lines = "".join(f"{n},Ő {n},{n % 90}\n" for n in range(2_500))
    item = stack.upload(f"id,name,age\nbad\n{lines}".encode(), "people.csv")
    with stack.worker(dies_at=place) as reached:
        # A chunk that was written twice would be counted as unchanged.
        task_id = stack.submit("files.import_data", item_id=item, collection=collection, columns={"age": "integer"})
        done = stack.ended(task_id)
    assert reached.exists()
    assert (done["attempt"], done["crashes"]) == (2, 1)
    assert {name: done["result"][name] for name in ("rows", "inserted", "updated", "unchanged", "invalid")} == {
        "rows": 2_501,
        "inserted": 2_500,
        "updated": 0,
        "unchanged": 0,
        "invalid": 1,
    }
    assert sorted(int(record["id"]) for record in stack.records(collection).values()) == list(range(2_500))
    assert done["progress"]["percent"] == 100


@pytest.mark.parametrize("place", ["chunk.before:2", "chunk.written:2"], ids=["before", "inside"])
@pytest.mark.long
def test_a_worker_that_dies_within_a_page_reads_it_again(stack: Stack, other_system: PagedApi, place: str) -> None:
    other_system.items = [{"id": n} for n in range(10)]
    other_system.asked.clear()
    params = {"url": f"{other_system.url}/items", "collection": f"pages-{place[6:-2]}", "token": TOKEN}
    with stack.worker(dies_at=place) as reached:
        done = stack.ended(stack.submit("data.sync", **params))
    assert reached.exists()
    assert [done["result"][name] for name in ("pages", "inserted", "unchanged")] == [4, 10, 0]
    assert other_system.asked == ["/items", *["/items?cursor=3"] * 2, "/items?cursor=6", "/items?cursor=9"]


@pytest.mark.parametrize(
    "name", ["files.generate_thumbnail", pytest.param("files.convert_document", marks=pytest.mark.long)]
)
def test_a_worker_that_dies_behind_what_it_stored_stores_it_once(stack: Stack, name: str) -> None:
    content = (picture(), "a.png") if name == "files.generate_thumbnail" else (b"# a", "a.md")
    with stack.worker(dies_at="effect.after") as reached:
        task_id = stack.submit(name, item_id=stack.upload(*content))
        done = stack.ended(task_id)
    assert reached.exists()
    assert (done["attempt"], done["crashes"]) == (2, 1)
    (item,) = stack.fleet.query("SELECT id FROM tree_item WHERE task_id = CAST(:id AS uuid)", id=task_id)
    assert str(item.id) == done["result"]["item_id"]


def test_a_worker_that_dies_between_pages_goes_on_behind_them(stack: Stack, other_system: PagedApi) -> None:
    other_system.items = [{"id": n, "name": f"Ő {n}"} for n in range(10)]
    other_system.asked.clear()
    params = {"url": f"{other_system.url}/items", "collection": "synced", "token": TOKEN}
    with stack.worker(dies_at="chunk.after:2") as reached:
        task_id = stack.submit("data.sync", **params)
        done = stack.ended(task_id)
        assert reached.exists()
        assert (done["result"]["pages"], done["result"]["inserted"], done["result"]["unchanged"]) == (4, 10, 0)
        assert other_system.asked == ["/items", "/items?cursor=3", "/items?cursor=6", "/items?cursor=9"]
        assert done["params"]["token"] == "***"
        assert len(stack.records("synced")) == 10

        other_system.items.append({"id": "new"})
        assert stack.ended(stack.submit("data.sync", **params))["result"]["inserted"] == 1
        refused = stack.ended(stack.submit("data.sync", **{**params, "token": "wrong"}), "failed")
        assert refused["error"]["code"] == "sync_not_authorised"
        assert refused["error"]["message"].startswith("A másik rendszer elutasította a tokent")


@pytest.fixture(scope="module")
def worker(stack: Stack) -> Iterator[None]:
    """One that lives, after those that died."""
    with stack.worker():
        yield


@pytest.mark.usefixtures("worker")
def test_files_and_documents_are_taken_and_refused_as_their_users_see_it(stack: Stack) -> None:
    book = workbook(["id", "név"], [1, "Őr"], [2, "Űr"])
    body = f"<w:p><w:r><w:t>Levél őűŐŰ</w:t></w:r>{drawing('rId1')}</w:p>"
    letter = docx(body, members={"word/media/a.png": picture()}, relations=relation("media/a.png"))
    imported = stack.submit(
        "files.import_data", item_id=stack.upload(book, "a.xlsx"), collection="book", key_column="id"
    )
    hostile = stack.submit(
        "files.import_data",
        item_id=stack.upload(with_entities(book, "xl/workbook.xml"), "a.xlsx"),
        collection="hostile",
    )
    made = stack.submit("files.convert_document", item_id=stack.upload(letter, "letter.docx"), language="hu")
    unread = stack.submit("files.convert_document", item_id=stack.upload(b"\xff", "a.md"))

    assert stack.ended(imported)["result"]["inserted"] == 2
    refusals = {stack.ended(task, "failed")["error"]["code"] for task in (hostile, unread)}
    pdf = stack.ended(made)["result"]
    assert stack.records("book") == {"1": {"id": 1, "név": "Őr"}, "2": {"id": 2, "név": "Űr"}}
    assert refusals == {"import_entities", "document_encoding"}
    assert stack.records("hostile") == {}
    assert (pdf["name"], pdf["pages"]) == ("letter.pdf", 1)
    pages = Pages(stack.fleet.http.get(f"/tree-items/{pdf['item_id']}/content").content)
    assert pages.text() == "Levél őűŐŰ 1 / 1"
    assert pages.count_of(RED) > 1_000


@pytest.mark.usefixtures("worker")
def test_a_thumbnail_is_small_upright_and_of_the_same_colours(stack: Stack) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = 6  # the camera was turned: its upper left stands on the upper right
    item = stack.upload(saved(photograph(), "PNG", exif=exif), "photo.png")
    sent = stack.fleet.http.post(f"/tree-items/{item}/thumbnail", json={"width": 60, "height": 60})
    assert sent.status_code == 202, sent.text
    made = stack.ended(sent.json()["task_id"])["result"]
    assert (made["parent_id"], made["width"], made["height"]) == (item, 40, 60)
    content = stack.fleet.http.get(f"/tree-items/{made['item_id']}/content").content
    with Image.open(io.BytesIO(content)) as image:
        assert image.size == (40, 60)
        assert alike(corners(image), [BLUE, PURE_RED, WHITE, GREEN])


@pytest.mark.usefixtures("worker")
def test_images_that_make_no_thumbnail_fail_once_and_say_why(stack: Stack) -> None:
    contents = {
        "image_too_large": png_header(50_000, 50_000),
        "image_damaged": saved(photograph(), "PNG")[:-100],
        "image_unsupported": b"%PDF-1.7\n",
    }
    failing = {}
    for code, content in contents.items():
        sent = stack.fleet.http.post(
            f"/tree-items/{stack.upload(content, 'a.png')}/thumbnail", json={"width": 60, "height": 60}
        )
        failing[code] = sent.json()["task_id"]
    failing["item_not_found"] = stack.submit("files.generate_thumbnail", item_id=str(uuid4()))
    for code, task_id in failing.items():
        failed = stack.ended(task_id, "failed")
        assert (failed["error"]["code"], failed["attempt"]) == (code, 1)


@pytest.mark.usefixtures("worker")
def test_lines_of_json_become_records_and_too_many_invalid_ones_end_the_import(stack: Stack) -> None:
    lines = b'{"id": "a", "n": [1.5, null, "\xc5\x91"]}\nno JSON\n{"id": 7}\n'
    item = stack.upload(lines, "a.jsonl")
    params = {"item_id": item, "key_column": "id"}
    done = stack.ended(stack.submit("files.import_data", collection="lines", **params))["result"]
    assert (done["rows"], done["inserted"]) == (3, 2)
    assert done["invalid_rows"] == [{"row": 2, "reason": "json", "column": None}]
    assert stack.records("lines") == {"a": {"id": "a", "n": [1.5, None, "ő"]}, "7": {"id": 7}}
    failed = stack.ended(stack.submit("files.import_data", collection="strict", max_invalid_rows=0, **params), "failed")
    assert (failed["error"]["code"], failed["attempt"]) == ("import_invalid_rows", 1)
    assert failed["error"]["message"].startswith("Érvénytelen sorok: 1")
    assert "nem JSON" in failed["error"]["message"]


@pytest.mark.usefixtures("worker")
def test_a_conversion_that_is_cancelled_leaves_no_process_and_no_file(stack: Stack) -> None:
    fleet = stack.fleet
    task_id = stack.submit("files.convert_document", item_id=stack.upload(b"<p>words words" * 250_000, "slow.html"))
    wait_for(lambda: converters(fleet), 30, "the process to start")
    assert fleet.http.post(f"/tasks/{task_id}/cancel").status_code == 202
    stack.ended(task_id, "cancelled")
    wait_for(lambda: not converters(fleet), 20, "the process to end")
    assert fleet.query("SELECT count(*) AS n FROM tree_item WHERE task_id = CAST(:id AS uuid)", id=task_id)[0].n == 0


def converters(fleet: Fleet) -> list[str]:
    """Processes of this stack that make pages: they have a directory below its own."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            command = path.read_bytes()
            if b"taskyard_kits.files.documents.converter" in command and str(fleet.home).encode() in command:
                found.append(path.parent.name)
    return found

"""Conversions of tree items: asked for, once, and followed by the item."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa

from taskyard.storage.local import LocalStorage
from taskyard.store import ledger, tree_items
from taskyard_api import answers
from tests.integration.api.conftest import Api
from tests.integration.api.test_tree_items import PATH, upload
from tests.integration.api.worker import Worker
from tests.support.specs import register_worker, spec_named

BOUNDS = {"bounds": [1, 2, 3, 4], "crs": "EPSG:4326"}
POINTS: dict[str, Any] = {"control_points": [{"row": 0.5, "col": 1.0, "x": 1.5, "y": 2.5}] * 3, "crs": "EPSG:3857"}


@pytest.fixture
def item(api: Api) -> str:
    return str(upload(api, b"x").json()["item_id"])


def ask(api: Api, item: str, wish: dict[str, Any], **headers: str) -> Any:
    return api.http.post(f"{PATH}/{item}/convert-to-geo-raster", json=wish, headers=headers)


def status(api: Api, item: str) -> dict[str, Any]:
    answer = api.http.get(f"{PATH}/{item}/conversion-status")
    answers.Conversion.model_validate_json(answer.content)
    return dict(answer.json())


def end(api: Api, task_id: str, state: str) -> None:
    """The task ends, as a worker ends it; a conversion that has succeeded has made the raster."""
    with ledger.transaction(api.engine) as conn:
        ended = "UPDATE task SET state = :state, claim = NULL, finished_at = now() WHERE id = :id"
        conn.execute(sa.text(ended), {"state": state, "id": task_id})
        conn.execute(sa.text("DELETE FROM unique_key WHERE task_id = :id"), {"id": task_id})
        if state == "succeeded":
            made_by(conn, task_id)


def made_by(conn: sa.Connection, task_id: str) -> None:
    item_id = conn.execute(
        sa.text("SELECT params ->> 'item_id' FROM task WHERE id = :id"), {"id": task_id}
    ).scalar_one()
    [item] = tree_items.get(conn, [UUID(item_id)]).values()
    new = replace(item, object_type="geo_raster_file", storage_key=f"of-{task_id}", sha256="a", task_id=UUID(task_id))
    assert tree_items.replace_content(conn, new, instead_of=item.storage_key)


@pytest.mark.parametrize("wish", [{}, BOUNDS, POINTS], ids=["own", "bounds", "points"])
def test_a_conversion_is_asked_for_and_followed_by_its_item(api: Api, item: str, wish: dict[str, Any]) -> None:
    found = status(api, item)
    assert (found["status"], found["task_id"], found["object_type"]) == ("NOT_STARTED", None, "file")
    asked = ask(api, item, wish)
    assert (asked.status_code, asked.json()["status"]) == (202, "STARTED"), asked.text
    task_id = asked.json()["task_id"]
    task = api.http.get(f"/api/v1/tasks/{task_id}").json()
    assert {name: value for name, value in task["params"].items() if value is not None} == {"item_id": item, **wish}
    assert (task["name"], task["queue"]) == ("geo.convert_to_raster", "geo_processing")
    assert (status(api, item)["status"], status(api, item)["task_id"]) == ("PENDING", task_id)
    end(api, task_id, "succeeded")
    found = status(api, item)
    assert (found["status"], found["object_type"], found["task_id"]) == ("COMPLETED", "geo_raster_file", task_id)


@pytest.mark.parametrize(("state", "shown"), [("failed", "FAILED"), ("cancelled", "CANCELLED")])
def test_a_conversion_that_did_not_succeed_can_be_asked_for_again(api: Api, item: str, state: str, shown: str) -> None:
    first = ask(api, item, BOUNDS).json()["task_id"]
    end(api, first, state)
    assert (status(api, item)["status"], status(api, item)["task_id"]) == (shown, first)
    again = ask(api, item, BOUNDS)
    assert again.status_code == 202
    assert again.json()["task_id"] != first
    assert status(api, item)["status"] == "PENDING"


def test_while_it_is_under_way_the_same_wish_gets_the_same_task(api: Api, item: str) -> None:
    first = ask(api, item, BOUNDS).json()
    assert ask(api, item, {"bounds": [1.0, 2.0, 3.0, 4.0], "crs": "EPSG:4326"}).json() == first
    worker = Worker(api.engine)
    worker.begin(first["task_id"])
    assert ask(api, item, BOUNDS).json() == first
    worker.progress(first["task_id"], 40, 100, "Creating georeferenced file")
    assert (status(api, item)["status"], status(api, item)["message"]) == ("PROGRESS", "Creating georeferenced file")
    assert api.count_tasks() == 1


def test_while_it_is_under_way_another_wish_is_a_409_that_names_the_task(api: Api, item: str) -> None:
    first = ask(api, item, BOUNDS).json()["task_id"]
    for other in ({}, POINTS, {**BOUNDS, "crs": "EPSG:3857"}, {**BOUNDS, "bounds": [0, 2, 3, 4]}):
        refused = ask(api, item, other)
        assert (refused.status_code, refused.json()["code"]) == (409, "conversion_active")
        assert refused.json()["task_id"] == first
    # Of another item it is another matter.
    assert ask(api, upload(api, b"y").json()["item_id"], POINTS).status_code == 202


def test_a_conversion_that_is_being_cancelled_is_not_the_same(api: Api, item: str) -> None:
    first = ask(api, item, BOUNDS).json()["task_id"]
    Worker(api.engine).begin(first)
    assert api.http.post(f"/api/v1/tasks/{first}/cancel").json()["status"] == "CANCELLING"
    refused = ask(api, item, BOUNDS)
    assert (refused.status_code, refused.json()["code"]) == (409, "conversion_active")
    assert refused.json()["task_id"] == first
    assert "is being cancelled" in refused.json()["detail"]
    end(api, first, "cancelled")
    assert ask(api, item, BOUNDS).json()["task_id"] != first


def test_after_it_has_succeeded_the_same_wish_gets_the_first_task(api: Api, item: str) -> None:
    first = ask(api, item, BOUNDS).json()["task_id"]
    end(api, first, "succeeded")
    for same in (BOUNDS, {}):
        again = ask(api, item, same)
        assert (again.status_code, again.json()["task_id"], again.json()["status"]) == (202, first, "COMPLETED")
        assert again.json()["message"] == "The item is converted already."
    refused = ask(api, item, {**BOUNDS, "bounds": [0, 2, 3, 4]})
    assert (refused.status_code, refused.json()["code"]) == (409, "already_converted")
    assert refused.json()["task_id"] == first
    assert api.count_tasks() == 1


def test_a_raster_whose_task_is_forgotten_is_looked_at_by_a_new_one(api: Api, item: str) -> None:
    first = ask(api, item, BOUNDS).json()["task_id"]
    end(api, first, "succeeded")
    with api.engine.begin() as conn:
        conn.execute(sa.text("DELETE FROM task"))
    assert (status(api, item)["status"], status(api, item)["task_id"]) == ("COMPLETED", first)
    asked = ask(api, item, POINTS)
    assert (asked.status_code, asked.json()["status"]) == (202, "STARTED")


def test_a_conversion_that_was_cancelled_too_late_is_done(api: Api, item: str) -> None:
    first = ask(api, item, BOUNDS).json()["task_id"]
    with ledger.transaction(api.engine) as conn:
        made_by(conn, first)
    end(api, first, "cancelled")
    assert status(api, item)["status"] == "COMPLETED"
    # A new task finds it done; what the first one was asked for still counts.
    assert ask(api, item, POINTS).json()["code"] == "already_converted"
    assert ask(api, item, BOUNDS).json()["task_id"] != first


def test_a_conversion_of_another_item_does_not_count_for_its_tag(api: Api, item: str) -> None:
    """Whoever submits a task gives it any tags; the item that it converts is that of its parameters."""
    other = upload(api, b"y").json()["item_id"]
    task = {"name": "geo.convert_to_raster", "params": {"item_id": other, **BOUNDS}, "tags": [f"item:{item}"]}
    foreign = [api.http.post("/api/v1/tasks", json=task).raise_for_status().json()["id"] for _ in range(3)]
    assert (status(api, item)["status"], status(api, item)["task_id"]) == ("NOT_STARTED", None)
    own = ask(api, item, BOUNDS).json()
    assert own["status"] == "STARTED"
    assert own["task_id"] not in foreign
    assert status(api, item)["task_id"] == own["task_id"]
    api.http.post("/api/v1/tasks", json=task).raise_for_status()
    assert ask(api, item, BOUNDS).json() == own


def test_of_many_at_once_one_converts(api: Api, item: str) -> None:
    with ThreadPoolExecutor(8) as pool:
        asked = list(pool.map(lambda n: ask(api, item, BOUNDS if n % 2 else POINTS), range(8)))
    assert api.count_tasks() == 1
    accepted = [answer for answer in asked if answer.status_code == 202]
    refused = [answer.json() for answer in asked if answer.status_code == 409]
    assert len(accepted) == len(refused) == 4
    assert {answer.json()["task_id"] for answer in accepted} == {answer["task_id"] for answer in refused}


def test_an_idempotency_key_gets_the_first_answer_again(api: Api, item: str) -> None:
    first = ask(api, item, BOUNDS, **{"Idempotency-Key": "a"})
    same = ask(api, item, BOUNDS, **{"Idempotency-Key": "b"})
    end(api, first.json()["task_id"], "succeeded")
    for key, answer in (("a", first), ("b", same)):
        again = ask(api, item, BOUNDS, **{"Idempotency-Key": key})
        assert (again.json(), again.headers["Idempotency-Replayed"]) == (answer.json(), "true")
    reused = ask(api, item, POINTS, **{"Idempotency-Key": "b"})
    assert reused.status_code in {409, 422}
    # A refusal does not consume its key.
    refused = ask(api, item, POINTS, **{"Idempotency-Key": "c"})
    assert refused.status_code == 409
    assert ask(api, item, BOUNDS, **{"Idempotency-Key": "c"}).status_code == 202


def test_a_key_is_told_of_its_own_items_and_queues_only(api: Api, item: str) -> None:
    other = api.client(api.key("submit", "read", queues=["geo_processing"]))
    assert other.post(f"{PATH}/{item}/convert-to-geo-raster", json=BOUNDS).status_code == 404
    assert other.get(f"{PATH}/{item}/conversion-status").status_code == 404
    own = other.post(PATH, content=b"x", headers={"X-Filename": "a.png"}).json()["item_id"]
    assert other.post(f"{PATH}/{own}/convert-to-geo-raster", json=BOUNDS).status_code == 202
    reader = api.client(api.key("read"))
    assert reader.post(f"{PATH}/{item}/convert-to-geo-raster", json=BOUNDS).status_code == 403
    assert reader.get(f"{PATH}/{item}/conversion-status").status_code == 200


def test_a_conversion_is_told_of_in_the_readers_language_and_a_failed_one_names_the_help(api: Api, item: str) -> None:
    french = {"Accept-Language": "fr"}
    asked = ask(api, item, {}, **french)
    assert asked.json()["message"] == "La conversion a été demandée ; son état indique son avancement."
    assert asked.headers["Content-Language"] == "fr"

    def told() -> Any:
        answer = api.http.get(f"{PATH}/{item}/conversion-status", headers=french)
        assert answer.headers["Content-Language"] == "fr"
        return answer.json()

    assert (told()["message"], told()["support_url"]) == ("La conversion attend un worker.", None)
    assert "d'une autre manière" in ask(api, item, BOUNDS, **french).json()["detail"]
    end(api, asked.json()["task_id"], "failed")
    assert told()["message"] == "La conversion a échoué ; sa tâche dit pourquoi."
    assert told()["support_url"] == "https://support.example.org"


def test_a_conversion_that_cannot_be_is_refused(api: Api, item: str) -> None:
    for body in (
        {"bounds": [1, 2, 3]},
        {"bounds": [1, 2, 3, 4]},
        {"crs": "EPSG:4326"},
        {**BOUNDS, **POINTS},
        {"control_points": [], "crs": "EPSG:4326"},
        {"control_points": POINTS["control_points"][:2], "crs": "EPSG:4326"},
        {"control_points": POINTS["control_points"] * 334, "crs": "EPSG:4326"},
        {"bounds": [1, 2, 3, 4], "crs": "../etc/passwd"},
        {"other": 1},
    ):
        assert ask(api, item, body).status_code == 422, body
    missing = item[:-4] + "ffff"
    assert ask(api, missing, {}).status_code == 404
    assert api.http.get(f"{PATH}/{missing}/conversion-status").status_code == 404


def test_without_a_worker_that_converts_it_is_a_503(start_api: Callable[..., Api]) -> None:
    api = start_api(registered=False)
    register_worker(api.engine, spec_named("own.report"))
    answer = ask(api, upload(api, b"x").json()["item_id"], {})
    assert (answer.status_code, answer.json()["code"]) == (503, "type_not_registered")


def test_a_cache_of_the_image_hears_of_the_raster(api: Api, item: str) -> None:
    """Also where it goes by the time alone, which has whole seconds."""
    content = f"{PATH}/{item}/content"
    image = api.http.get(content)
    since = {"If-Modified-Since": image.headers["Last-Modified"]}
    assert api.http.get(content, headers=since).status_code == 304
    with ledger.transaction(api.engine) as conn:
        [before] = tree_items.get(conn, [UUID(item)]).values()
        new = replace(before, object_type="geo_raster_file", storage_key=upload_key(api, conn), sha256="a" * 64)
        tree_items.replace_content(conn, new, instead_of=before.storage_key)
    assert api.http.head(content, headers=since).status_code == 200
    assert api.http.head(content, headers={"If-None-Match": image.headers["ETag"]}).status_code == 200
    assert api.http.head(content, headers={"If-Match": image.headers["ETag"]}).status_code == 412
    # Whoever has read the item before finds the bytes that it had.
    with LocalStorage(api.settings.storage_dir).open(before.storage_key) as file:
        assert file.read() == image.content


def upload_key(api: Api, conn: sa.Connection) -> str:
    """Of other bytes in the storage."""
    other = upload(api, b"raster").json()["item_id"]
    return tree_items.get(conn, [UUID(other)])[UUID(other)].storage_key

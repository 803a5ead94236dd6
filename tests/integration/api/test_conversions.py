"""Conversions of tree items: asked for, and followed by the item."""

from collections.abc import Callable
from typing import Any

import sqlalchemy as sa

from taskyard_api import answers
from tests.integration.api.conftest import Api
from tests.integration.api.test_tree_items import PATH, upload


def test_a_conversion_is_asked_for_and_followed_by_its_item(start_api: Callable[..., Api]) -> None:
    api = start_api(modules=["tests.support.geo_type"])
    item = upload(api, b"x").json()["item_id"]

    def status() -> dict[str, Any]:
        answer = api.http.get(f"{PATH}/{item}/conversion-status")
        answers.Conversion.model_validate_json(answer.content)
        return dict(answer.json())

    assert (status()["status"], status()["task_id"], status()["object_type"]) == ("NOT_STARTED", None, "file")
    upload(api, b"another, which is not asked for")
    for body in (
        {},
        {"bounds": [1, 2, 3, 4], "crs": "EPSG:4326"},
        {"control_points": [{"row": 0.5, "col": 1.0, "x": 1.5, "y": 2.5}] * 3, "crs": "EPSG:3857"},
    ):
        answer = api.http.post(f"{PATH}/{item}/convert-to-geo-raster", json=body)
        assert (answer.status_code, answer.json()["status"]) == (202, "STARTED"), answer.text
        task = api.http.get(f"/api/v1/tasks/{answer.json()['task_id']}").json()
        assert {k: v for k, v in task["params"].items() if v is not None} == {"item_id": item, **body}
        assert (status()["status"], status()["task_id"]) == ("PENDING", answer.json()["task_id"])
    for state, shown in (("succeeded", "COMPLETED"), ("failed", "FAILED"), ("cancelled", "CANCELLED")):
        with api.engine.begin() as conn:
            conn.execute(sa.text("UPDATE task SET state = :state, finished_at = now()"), {"state": state})
        assert status()["status"] == shown


def test_a_conversion_is_told_of_in_the_readers_language_and_a_failed_one_names_the_help(
    start_api: Callable[..., Api],
) -> None:
    api = start_api(modules=["tests.support.geo_type"])
    item, french = upload(api, b"x").json()["item_id"], {"Accept-Language": "fr"}
    asked = api.http.post(f"{PATH}/{item}/convert-to-geo-raster", json={}, headers=french)
    assert asked.json()["message"] == "La conversion a été demandée ; son état indique son avancement."
    assert asked.headers["Content-Language"] == "fr"

    def status() -> Any:
        answer = api.http.get(f"{PATH}/{item}/conversion-status", headers=french)
        assert answer.headers["Content-Language"] == "fr"
        return answer.json()

    assert (status()["message"], status()["support_url"]) == ("La conversion attend un worker.", None)
    with api.engine.begin() as conn:
        conn.execute(sa.text("UPDATE task SET state = 'failed', finished_at = now()"))
    assert status()["message"] == "La conversion a échoué ; sa tâche dit pourquoi."
    assert status()["support_url"] == "https://support.example.org"


def test_a_conversion_that_cannot_be_is_refused(start_api: Callable[..., Api]) -> None:
    api = start_api(modules=["tests.support.geo_type"])
    item = upload(api, b"x").json()["item_id"]
    for body in (
        {"bounds": [1, 2, 3]},
        {"bounds": [1, 2, 3, 4]},
        {"crs": "EPSG:4326"},
        {"bounds": [1, 2, 3, 4], "control_points": [{"row": 1, "col": 1, "x": 1, "y": 1}], "crs": "EPSG:4326"},
        {"control_points": [], "crs": "EPSG:4326"},
        {"bounds": [1, 2, 3, 4], "crs": "../etc/passwd"},
        {"other": 1},
    ):
        assert api.http.post(f"{PATH}/{item}/convert-to-geo-raster", json=body).status_code == 422, body
    missing = item[:-4] + "ffff"
    assert api.http.post(f"{PATH}/{missing}/convert-to-geo-raster", json={}).status_code == 404
    assert api.http.get(f"{PATH}/{missing}/conversion-status").status_code == 404


def test_without_a_worker_that_converts_it_is_a_503(api: Api) -> None:
    item = upload(api, b"x").json()["item_id"]
    answer = api.http.post(f"{PATH}/{item}/convert-to-geo-raster", json={})
    assert (answer.status_code, answer.json()["code"]) == (503, "type_not_registered")

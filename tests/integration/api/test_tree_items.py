"""Files: streamed in, sent whole or in part; their names are never paths."""

import hashlib
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from taskyard.storage.interface import StorageUnavailable
from taskyard.storage.local import LocalStorage
from taskyard.store import tree_items
from taskyard_api import answers
from tests.integration.api.conftest import Api
from tests.support.fleet import wait_for

PATH = "/api/v1/tree-items"


def upload(api: Api, content: bytes, name: str | bytes = "a.bin", **headers: str) -> httpx.Response:
    given: dict[str, Any] = {"X-Filename": name, "Content-Type": "application/octet-stream", **headers}
    return api.http.post(PATH, content=content, headers=given)


def objects(api: Api) -> list[Path]:
    return [path for path in Path(api.settings.storage_dir).rglob("*") if path.is_file()]


def test_a_file_comes_back_as_it_went_in(api: Api) -> None:
    content = bytes(range(256)) * 20_000
    raw = upload(api, content, "na%C3%AFve%20%2B.bin")
    assert raw.status_code == 201
    answers.TreeItem.model_validate_json(raw.content)
    item = raw.json()
    assert (item["name"], item["size"]) == ("naïve +.bin", len(content))
    assert item["sha256"] == hashlib.sha256(content).hexdigest()
    assert api.http.get(raw.headers["Location"]).json() == item
    jpeg = b"\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01" + content
    form = api.http.post(PATH, files={"file": ("photo ü.jpg", jpeg, "image/jpeg")})
    assert (form.status_code, form.json()["content_type"]) == (201, "image/jpeg")
    assert form.json()["name"] == "photo ü.jpg"
    got = api.http.get(f"{raw.headers['Location']}/content")
    assert got.content == content
    assert got.headers["Content-Disposition"].startswith("attachment; ")
    assert got.headers["X-Content-Type-Options"] == "nosniff"
    listed = api.http.get(f"{PATH}?limit=1").json()
    assert listed["items"] == [form.json()]
    assert api.http.get(f"{PATH}?cursor={listed['next_cursor']}").json()["items"] == [item]
    assert api.http.delete(raw.headers["Location"]).status_code == 204
    assert api.http.delete(raw.headers["Location"]).status_code == 404
    assert api.http.get(f"{raw.headers['Location']}/content").status_code == 404
    assert len(objects(api)) == 1


def test_ranges(api: Api) -> None:
    location = upload(api, b"0123456789").headers["Location"] + "/content"
    etag = api.http.get(location).headers["ETag"]
    for header, status, content in (
        ("bytes=0-3", 206, b"0123"),
        ("bytes=8-", 206, b"89"),
        ("bytes=-3", 206, b"789"),
        ("bytes=5-500", 206, b"56789"),
        ("bytes=-500", 206, b"0123456789"),
        ("bytes=4-2", 200, b"0123456789"),
        ("bytes=0-1,3-4", 200, b"0123456789"),
        ("items=0-1", 200, b"0123456789"),
        ("nonsense", 200, b"0123456789"),
        ("bytes=10-", 416, None),
        ("bytes=-0", 416, None),
    ):
        answer = api.http.get(location, headers={"Range": header})
        assert answer.status_code == status, header
        if content is not None:
            assert answer.content == content, header
        else:
            assert answer.headers["Content-Range"] == "bytes */10"
    part = api.http.get(location, headers={"Range": "bytes=2-4", "If-Range": etag})
    assert (part.status_code, part.headers["Content-Range"]) == (206, "bytes 2-4/10")
    changed = api.http.get(location, headers={"Range": "bytes=2-4", "If-Range": '"other"'})
    assert changed.status_code == 200
    empty = upload(api, b"").headers["Location"] + "/content"
    assert api.http.get(empty).content == b""


def test_a_name_is_never_a_path(api: Api) -> None:
    for name in (
        "../../etc/passwd",
        "%2e%2e%2fetc%2fpasswd",
        "/etc/passwd",
        "..",
        ".",
        "C:%5Cboot.ini",
        "a%00.jpg",
        "a%0d%0aX: y",
        "%20",
        "x" * 256,
        "%C3%A9" * 128,
        "%ff",
        "gpj.%E2%80%AEexe",
    ):
        answer = upload(api, b"x", name)
        assert answer.status_code == 422, name
        assert answer.json()["errors"][0]["pointer"] == "X-Filename"
    for name in ("../up.txt", "a/b", "a\\b", ""):
        answer = api.http.post(PATH, files={"file": (name, b"x")})
        assert answer.status_code in {400, 422}, name
    no_name = api.http.post(PATH, content=b"x", headers={"Content-Type": "text/plain"})
    assert no_name.status_code == 422
    assert api.http.get(PATH).json()["items"] == []
    assert objects(api) == []


def test_malformed_forms_leave_no_file(api: Api) -> None:
    boundary = {"Content-Type": "multipart/form-data; boundary=b"}
    part = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nxyz'
    for body in (b"", b"nonsense", part, part + b"\r\n--b", b"--b--\r\n", part + b"\r\n" + part + b"\r\n--b--\r\n"):
        assert api.http.post(PATH, content=body, headers=boundary).status_code in {400, 422}, body
    for bad in ("multipart/form-data", "multipart/form-data; boundary=" + "x" * 100):
        assert api.http.post(PATH, content=part, headers={"Content-Type": bad}).status_code == 400
    field = b'--b\r\nContent-Disposition: form-data; name="note"\r\n\r\nxyz\r\n--b--\r\n'
    assert api.http.post(PATH, content=field, headers=boundary).status_code == 422
    assert objects(api) == []


def test_uploads_have_a_limit_however_they_are_sent(start_api: Callable[..., Api]) -> None:
    api = start_api(max_upload_bytes=100_000)

    def chunks() -> Any:
        for _ in range(5):
            yield b"x" * 50_000

    headers = {"X-Filename": "a", "Content-Type": "text/plain"}
    assert upload(api, b"x" * 100_001).status_code == 413
    assert api.http.post(PATH, content=chunks(), headers=headers).status_code == 413
    assert api.http.post(PATH, files={"file": ("a", b"x" * 100_001)}).status_code == 413
    assert upload(api, b"x" * 100_000).status_code == 201
    assert len(objects(api)) == 1


@pytest.mark.parametrize("framing", ["Content-Length: 9000000", "Transfer-Encoding: chunked"])
def test_an_upload_that_is_cut_off_leaves_nothing(api: Api, framing: str) -> None:
    """Not even what is being written, which is swept after a day where a process was killed."""
    head = f"POST {PATH} HTTP/1.1\r\nHost: h\r\nAuthorization: {api.http.headers['Authorization']}\r\n"
    head += f"X-Filename: a\r\nContent-Type: text/plain\r\n{framing}\r\n\r\n"
    content = b"x" * 3_000_000
    if "chunked" in framing:
        content = f"{len(content):x}\r\n".encode() + content + b"\r\n"
    with socket.create_connection(("127.0.0.1", int(api.url.rpartition(":")[2]))) as wire:
        wire.sendall(head.encode() + content)
        wait_for(lambda: len(objects(api)) == 1, 10, "the file that is being written")
    wait_for(lambda: objects(api) == [], 10, "it to be gone")
    assert api.http.get(PATH).json()["items"] == []


def test_an_upload_sent_twice_is_kept_once(api: Api) -> None:
    first = upload(api, b"same", **{"Idempotency-Key": "k"})
    second = upload(api, b"same", **{"Idempotency-Key": "k"})
    assert first.json() == second.json()
    assert second.headers["Idempotency-Replayed"] == "true"
    assert second.headers["Location"] == first.headers["Location"]
    other = upload(api, b"other", **{"Idempotency-Key": "k"})
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    assert len(objects(api)) == 1


def test_a_thumbnail_can_be_requested(api: Api) -> None:
    item = upload(api, b"x").json()["item_id"]
    answer = api.http.post(f"{PATH}/{item}/thumbnail", json={"width": 64, "height": 32})
    assert answer.status_code == 202
    answers.TaskStarted.model_validate_json(answer.content)
    task = api.http.get(f"/api/v1/tasks/{answer.json()['task_id']}").json()
    assert task["name"] == "files.generate_thumbnail"
    assert task["params"] == {"item_id": item, "width": 64, "height": 32}
    for body in ({}, {"width": 0, "height": 1}, {"width": 1, "height": 4097}, {"width": "1", "height": 1}):
        assert api.http.post(f"{PATH}/{item}/thumbnail", json=body).status_code == 422
    missing = item[:-4] + "ffff"
    assert api.http.post(f"{PATH}/{missing}/thumbnail", json={"width": 1, "height": 1}).status_code == 404


def test_the_type_of_a_file_is_that_of_its_content(api: Api) -> None:
    page = b"<!DOCTYPE html><html><script>alert(1)</script></html>"
    for content, told, found in (
        (page, "image/png", "text/html"),
        (b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + bytes(2_000_000), "text/html", "image/png"),
        (b"a,b\n1,2\n", "text/csv", "text/csv"),
        (bytes(range(256)), "image/jpeg", "application/octet-stream"),
    ):
        sent = upload(api, content, "photo.jpg", **{"Content-Type": told})
        assert sent.json()["content_type"] == found
        assert api.http.get(f"{sent.headers['Location']}/content").headers["Content-Type"] == found


def test_a_damaged_object_is_never_a_complete_download(api: Api) -> None:
    location = upload(api, b"x" * 3_000_000).headers["Location"] + "/content"
    (path,) = objects(api)
    with path.open("r+b") as file:
        file.seek(1_500_000)
        file.write(b"y")
    with pytest.raises(httpx.RemoteProtocolError):
        api.http.get(location)
    part = api.http.get(location, headers={"Range": "bytes=0-9"})
    assert (part.status_code, part.content) == (206, b"x" * 10)


def test_what_a_kill_left_between_storage_and_database_is_swept(
    api: Api, start_api: Callable[..., Api], monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_: object) -> None:
        raise StorageUnavailable("killed")

    kept, deleted = (upload(api, content).headers["Location"] for content in (b"kept", b"deleted"))
    with monkeypatch.context() as patch:
        patch.setattr(tree_items, "insert", die)
        assert upload(api, b"killed before the insert").status_code == 503
        patch.setattr(LocalStorage, "delete", die)  # as killed after the commit that deletes the item
        assert api.http.delete(deleted).status_code == 204
    for hours, left in ((23, 3), (25, 1)):
        with api.engine.begin() as conn:
            conn.execute(
                text("UPDATE loose_object SET noted_at = now() - make_interval(hours => :hours)"), {"hours": hours}
            )
        start_api()  # which sweeps
        for _ in range(100):
            if len(objects(api)) == left:
                break
            time.sleep(0.05)
        time.sleep(0.3)
        assert len(objects(api)) == left
    assert api.http.get(f"{kept}/content").content == b"kept"


def test_the_content_of_an_archive_of_tasks_needs_manage_for_it_has_stack_traces(api: Api) -> None:
    location = upload(api, b"traces").headers["Location"]
    with api.engine.begin() as conn:
        conn.execute(text("UPDATE tree_item SET object_type = 'task_archive'"))
    reader = {"Authorization": f"Bearer {api.key('read')}"}
    both = {"Authorization": f"Bearer {api.key('read', 'manage')}"}
    assert api.http.get(location, headers=reader).status_code == 200
    refused = api.http.get(f"{location}/content", headers=reader)
    assert (refused.status_code, refused.json()["code"]) == (403, "missing_scope")
    assert api.http.get(f"{location}/content", headers=both).content == b"traces"

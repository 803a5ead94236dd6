"""Files in an S3 bucket: what holds for a directory (test_tree_items.py) holds for them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.api.conftest import Api
from tests.integration.api.test_tree_items import PATH, upload
from tests.support.proxy import Proxy
from tests.support.s3_servers import CREDENTIALS, client_of, moto_server, objects, uploads

BUCKET = "taskyard"


@pytest.fixture(scope="module")
def moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with moto_server(tmp_path_factory.mktemp("moto") / "log") as address:
        yield address


@pytest.fixture
def client(moto: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    client = client_of(moto)
    client.create_bucket(Bucket=BUCKET)
    for key in objects(client, BUCKET):
        client.delete_object(Bucket=BUCKET, Key=key)
    return client


def url(endpoint: str) -> str:
    return f"s3://{BUCKET}/files?endpoint={endpoint}"


def test_a_file_comes_back_whole_in_part_and_on_condition(
    moto: str, client: Any, start_api: Callable[..., Api], tmp_path: Path
) -> None:
    api = start_api(storage_url=url(moto))
    content = os.urandom(20_000_000)
    sent = upload(api, content)
    assert (sent.status_code, sent.json()["sha256"]) == (201, hashlib.sha256(content).hexdigest())
    (key,) = objects(client, BUCKET)
    assert key.startswith("files/objects/")
    location = sent.headers["Location"] + "/content"
    got = api.http.get(location)
    assert (got.content, got.headers["Content-Length"]) == (content, str(len(content)))
    part = api.http.get(location, headers={"Range": "bytes=9000000-9000099", "If-Range": got.headers["ETag"]})
    assert (part.status_code, part.content) == (206, content[9_000_000:9_000_100])
    assert api.http.get(location, headers={"If-None-Match": got.headers["ETag"]}).status_code == 304
    assert api.http.get(location, headers={"If-Match": '"other"'}).status_code == 412
    assert api.http.get(location, headers={"Range": "bytes=20000000-"}).status_code == 416
    assert api.http.head(location).headers["Content-Length"] == str(len(content))
    empty = upload(api, b"").headers["Location"] + "/content"
    assert api.http.get(empty).content == b""
    assert api.http.delete(sent.headers["Location"]).status_code == 204
    assert len(objects(client, BUCKET)) == 1
    assert not (tmp_path / "storage").exists()


def test_asking_for_the_head_begins_no_download(moto: str, client: Any, start_api: Callable[..., Api]) -> None:
    with Proxy(("127.0.0.1", int(moto.rpartition(":")[2]))) as proxy:
        api = start_api(storage_url=url(f"http://127.0.0.1:{proxy.port}"))
        location = upload(api, os.urandom(20_000_000)).headers["Location"] + "/content"
        before = proxy.answered
        head = api.http.head(location, headers={"Range": "bytes=5-"})
        assert (head.status_code, head.headers["Content-Length"]) == (206, str(20_000_000 - 5))
        assert proxy.answered - before < 100_000
        (key,) = objects(client, BUCKET)
        client.delete_object(Bucket=BUCKET, Key=key)
        gone = api.http.head(location)
        assert (gone.status_code, "Content-Disposition" in gone.headers) == (404, False)


def test_a_failed_upload_leaves_nothing(moto: str, client: Any, start_api: Callable[..., Api]) -> None:
    api = start_api(storage_url=url(moto), max_upload_bytes=20_000_000)

    def chunks() -> Iterator[bytes]:
        for _ in range(21):
            yield b"x" * 1_000_000

    headers = {"X-Filename": "a", "Content-Type": "text/plain"}
    assert api.http.post(PATH, content=chunks(), headers=headers).status_code == 413
    assert (objects(client, BUCKET), uploads(client, BUCKET)) == ([], [])


def test_a_bucket_that_does_not_answer_is_a_503_and_nothing_else_is(
    moto: str, client: Any, start_api: Callable[..., Api]
) -> None:
    with Proxy(("127.0.0.1", int(moto.rpartition(":")[2]))) as proxy:
        api = start_api(storage_url=url(f"http://127.0.0.1:{proxy.port}"), storage_timeout_seconds=3)
        item = upload(api, b"x").headers["Location"]
        proxy.refuse()
        for answer in (upload(api, b"y"), api.http.get(f"{item}/content")):
            assert answer.status_code == 503
            assert "Retry-After" in answer.headers
        assert api.http.get(item).status_code == 200
        proxy.restore()
        assert api.http.get(f"{item}/content").content == b"x"

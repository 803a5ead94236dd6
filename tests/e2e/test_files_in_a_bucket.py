"""Files in an S3 bucket that API and worker share: real services, and a bucket that goes away meanwhile."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from tests.support.fleet import Fleet, wait_for
from tests.support.proxy import Proxy
from tests.support.s3_servers import CREDENTIALS, client_of, moto_server, objects, uploads

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]


def picture() -> bytes:
    file = io.BytesIO()
    Image.effect_noise((400, 300), 50).save(file, "PNG")
    return file.getvalue()


def upload(fleet: Fleet, content: bytes) -> dict[str, Any]:
    answer = fleet.http.post("/tree-items", content=content, headers={"X-Filename": "a"})
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


@pytest.mark.long
def test_a_task_reads_and_writes_the_bucket_and_waits_while_it_is_away(
    fleet: Fleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    with moto_server(tmp_path / "moto") as moto, Proxy(("127.0.0.1", int(moto.rpartition(":")[2]))) as proxy:
        client = client_of(moto)
        client.create_bucket(Bucket="yard")
        fleet.environment |= {
            **CREDENTIALS,
            "TASKYARD_STORAGE_URL": f"s3://yard/files?endpoint=http://127.0.0.1:{proxy.port}",
            "TASKYARD_STORAGE_TIMEOUT_SECONDS": "1",
        }
        fleet.start_api()
        fleet.start_scheduler()
        fleet.start_worker(threads=1)
        sent = upload(fleet, picture())
        lines = upload(fleet, b"a line of a file that is sent in parts\n" * 300_000)
        counted = fleet.submit("files.process_large_file", {"item_id": lines["item_id"]})
        fleet.wait_state(counted, "succeeded", seconds=60)
        assert fleet.task(counted).result["processed_lines"] == 300_000

        proxy.refuse()
        task_id = fleet.submit("files.generate_thumbnail", {"item_id": sent["item_id"], "width": 64, "height": 64})
        fleet.wait_state(task_id, "retrying", seconds=30)
        error = fleet.http.get(f"/tasks/{task_id}").json()["error"]
        assert (error["code"], error["retryable"]) == ("storage_unavailable", True)
        assert "does not answer" in error["message"]
        proxy.restore()
        fleet.query("UPDATE task SET due_at = now(), run_at = now() WHERE state = 'retrying' RETURNING id")
        fleet.wait_state(task_id, "succeeded", seconds=30)

        item = fleet.http.get(f"/tree-items/{fleet.task(task_id).result['item_id']}").json()
        got: httpx.Response = fleet.http.get(f"/tree-items/{item['item_id']}/content")
        assert hashlib.sha256(got.content).hexdigest() == item["sha256"]
        assert max(Image.open(io.BytesIO(got.content)).size) == 64
        assert (len(objects(client, "yard")), uploads(client, "yard")) == (3, [])
        for one in (sent, lines, item):
            assert fleet.http.delete(f"/tree-items/{one['item_id']}").status_code == 204
        wait_for(lambda: objects(client, "yard") == [], 10, "the objects to go")
    assert not (fleet.home / "storage").exists()

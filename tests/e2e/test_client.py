"""The Python client against real services: what it promises holds while the API is killed, away or slow."""

from __future__ import annotations

import asyncio
import hashlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest

from taskyard_client import (
    ApiAway,
    AsyncClient,
    Client,
    Conflict,
    Invalid,
    NewTask,
    NotAllowed,
    NotFound,
    Retries,
    TaskCancelled,
    TaskFailed,
    WaitTimedOut,
    passing_on,
)
from tests.support.fleet import KEY, Fleet
from tests.support.proxy import Proxy

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

SLEEP, ECHO, FAIL, EFFECT = "diagnostics.sleep", "diagnostics.echo", "diagnostics.fail", "tests.effect"


class Counting(httpx2.HTTPTransport):
    """Real requests, counted by method, last part of the path, and whether it is a stream. `broken` answers in place
    of the server, where it says so."""

    def __init__(self, broken: Callable[[httpx2.Request, int], Any] | None = None) -> None:
        super().__init__()
        self.seen: Counter[str] = Counter()
        self.keys: list[str | None] = []
        self._broken = broken

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        kind = "stream" if request.headers["Accept"] == "text/event-stream" else request.method
        self.seen[kind] += 1
        self.keys.append(request.headers.get("Idempotency-Key"))
        if self._broken is not None and self._broken(request, self.seen[kind]) is True:
            answer = super().handle_request(request)
            answer.read()
            answer.close()
            raise httpx2.ReadError("the answer got lost", request=request)
        return super().handle_request(request)


@pytest.fixture
def stack(fleet: Fleet) -> Fleet:
    fleet.start_api()
    fleet.start_scheduler()
    fleet.start_worker()
    return fleet


def url_of(fleet: Fleet) -> str:
    return f"http://127.0.0.1:{fleet.port}"


@pytest.fixture
def client(stack: Fleet) -> Iterator[Client]:
    with Client(url_of(stack), KEY) as made:
        yield made


def kill_and_start_api(fleet: Fleet) -> None:
    api = next(p for p in reversed(fleet.processes) if "taskyard-api" in str(p.args))
    os.killpg(api.pid, signal.SIGKILL)
    api.wait()
    fleet.start_api()


def test_the_calls_of_the_client_do_what_they_say(client: Client, stack: Fleet, tmp_path: Path) -> None:
    """One stack for all of them: each starts in seconds."""
    task = client.submit(ECHO, {"value": {"deep": [1, None]}}, tags=["a"], delay_seconds=timedelta(milliseconds=10))
    done = client.wait(task.id, timeout=60)
    assert (done.state, done.tags, done.value()) == ("succeeded", ["a"], {"value": {"deep": [1, None]}})
    assert client.status(task.id).successful

    many = client.submit_many([NewTask(ECHO, {"value": n}) for n in range(30)])
    assert [client.wait(one.id, 60).value()["value"] for one in many] == [*range(30)]
    assert {one.id for one in many} <= {found.id for found in client.tasks(name=ECHO, state=["succeeded"])}

    with pytest.raises(Invalid, match="value") as invalid:
        client.submit(ECHO)
    assert [pointer for pointer, _ in invalid.value.errors] == ["/params/value"]
    with pytest.raises(Invalid, match=r"no\.such\.type"):
        client.submit("no.such.type")
    with pytest.raises(TypeError, match="'retries'"):
        client.submit(ECHO, {"value": 1}, retries=3)  # type: ignore[call-arg]
    with pytest.raises(ValueError, match="time zone"):
        client.submit(ECHO, {"value": 1}, run_at=datetime(2026, 1, 1))  # noqa: DTZ001
    with pytest.raises(ValueError, match="1000"):
        client.submit_many([])
    with pytest.raises(NotFound):
        client.task("01890000-0000-7000-8000-000000000000")
    with pytest.raises(NotAllowed), Client(url_of(stack), "ty_wrong") as stranger:
        stranger.submit(ECHO, {"value": 1})
    with pytest.raises(Conflict) as taken:
        client.submit(ECHO, {"value": 2}, id=task.id)
    assert taken.value.code == "id_taken"
    assert taken.value.task is not None
    assert taken.value.task.id == task.id

    failed = client.submit(FAIL, {"times": 1, "kind": "permanent"})
    with pytest.raises(TaskFailed) as failure:
        client.wait(failed.id, 60).value()
    assert failure.value.code
    assert not client.retry(failed.id).state.startswith("fail")
    assert client.wait(failed.id, 60).succeeded

    later = client.submit(ECHO, {"value": 1}, run_at=datetime.now(UTC) + timedelta(hours=1))
    assert client.cancel(later.id).status == "CANCELLED"
    with pytest.raises(TaskCancelled):
        client.wait(later.id, 60).value()
    with pytest.raises(Conflict, match="cancelled"):
        client.cancel(later.id)
    assert [event.kind for event in client.events(later.id)][-1] == "cancelled"
    waiting = client.submit(ECHO, {"value": 1}, delay_seconds=3600)
    with pytest.raises(TimeoutError) as late:
        client.wait(waiting.id, timeout=0.5)
    assert isinstance(late.value, WaitTimedOut)
    assert late.value.task is not None
    assert late.value.task.state == "scheduled"

    content = os.urandom(700_000)
    (tmp_path / "a.bin").write_bytes(content)
    item = client.files.upload(tmp_path / "a.bin")
    assert (item.name, item.size) == ("a.bin", len(content))
    assert client.files.read(item.item_id) == content
    client.files.download(item.item_id, tmp_path / "b.bin")
    assert (tmp_path / "b.bin").read_bytes() == content
    assert item.item_id in {one.item_id for one in client.files.items()}
    client.files.delete(item.item_id)
    with pytest.raises(NotFound):
        client.files.item(item.item_id)


def test_the_client_for_asyncio_does_the_same(stack: Fleet, tmp_path: Path) -> None:
    async def use() -> None:
        async with AsyncClient(url_of(stack), KEY) as client:
            tasks = await asyncio.gather(*(client.submit(ECHO, {"value": n}) for n in range(20)))
            done = await asyncio.gather(*(client.wait(task.id, 60) for task in tasks))
            assert [task.value()["value"] for task in done] == [*range(20)]
            assert [event.kind async for event in client.events(tasks[0].id)][-1] == "succeeded"
            many = await client.submit_many([NewTask(ECHO, {"value": n}) for n in range(3)])
            assert {one.id for one in many} <= {found.id async for found in client.tasks(name=ECHO)}
            later = await client.submit(ECHO, {"value": 1}, delay_seconds=3600)
            assert (await client.cancel(later.id)).status == "CANCELLED"
            assert (await client.retry(later.id)).state != "cancelled"
            item = await client.files.upload(b"abc" * 100_000, name="ä b.txt")
            assert item.name == "ä b.txt"
            await client.files.download(item.item_id, tmp_path / "c")
            assert await client.files.read(item.item_id) == (tmp_path / "c").read_bytes() == b"abc" * 100_000
            with pytest.raises(WaitTimedOut):
                await client.wait((await client.submit(SLEEP, {"seconds": 30})).id, timeout=1)

    asyncio.run(use())


def test_a_submit_whose_answer_got_lost_is_done_once(stack: Fleet) -> None:
    """By the idempotency key that the client makes; a batch and an upload, too."""
    transport = Counting(lambda request, number: number % 2 == 1 and request.method == "POST")
    with Client(url_of(stack), KEY, transport=transport) as client:
        task = client.submit(EFFECT, {})
        many = client.submit_many([NewTask(EFFECT, {}), NewTask(EFFECT, {})])
        item = client.files.upload(b"once")
        ids = [str(task.id), *(str(one.id) for one in many)]
        assert stack.wait_final(ids, 60) == {"succeeded": 3}
        assert transport.seen["POST"] == 6
        assert [first == second for first, second in zip(transport.keys[::2], transport.keys[1::2], strict=True)] == [
            True
        ] * 3
        assert len(set(transport.keys)) == 3
        assert sorted(stack.effects.read_text().split()) == sorted(ids)
        assert [one.item_id for one in client.files.items()] == [item.item_id]


def test_submits_go_on_once_a_killed_api_is_back(stack: Fleet) -> None:
    """Each task is there once, and no call fails."""
    ids: list[str] = []
    with Client(url_of(stack), KEY, retries=Retries(seconds=60, attempts=100)) as client:
        ended = threading.Event()

        def submit() -> None:
            while not ended.is_set():
                ids.append(str(client.submit(ECHO, {"value": len(ids)}, tags=["kill"]).id))

        threads = [threading.Thread(target=submit) for _ in range(4)]
        for thread in threads:
            thread.start()
        for _ in range(2):
            time.sleep(1)
            kill_and_start_api(stack)
        time.sleep(1)
        ended.set()
        for thread in threads:
            thread.join()
    stored = [str(row.id) for row in stack.query("SELECT id FROM task WHERE tags = ARRAY['kill']")]
    assert len(ids) > 8
    assert sorted(ids) == sorted(stored)


def test_a_wait_uses_the_event_stream(stack: Fleet) -> None:
    transport = Counting()
    with Client(url_of(stack), KEY, transport=transport) as client:
        task = client.submit(SLEEP, {"seconds": 4})
        assert client.wait(task.id, timeout=60).succeeded
    assert transport.seen == {"POST": 1, "stream": 1, "GET": 1}


@pytest.mark.long
def test_a_wait_asks_with_growing_pauses_where_streams_do_not_come_through(stack: Fleet) -> None:
    class Hasty(Counting):
        """A proxy that answers neither streams nor what takes long."""

        def handle_request(self, request: httpx2.Request) -> httpx2.Response:
            if request.headers["Accept"] == "text/event-stream":
                self.seen["stream"] += 1
                return httpx2.Response(403, text="<html>no</html>", request=request)
            if "wait" in request.url.params:
                request = httpx2.Request(request.method, request.url.copy_with(query=None), headers=request.headers)
            return super().handle_request(request)

    transport = Hasty()
    with Client(url_of(stack), KEY, transport=transport) as client:
        task = client.submit(SLEEP, {"seconds": 4})
        assert client.wait(task.id, timeout=60).succeeded
    assert transport.seen["stream"] == 1
    assert 3 <= transport.seen["GET"] <= 12, "without growth it would be twenty or more"


@pytest.mark.long
def test_followers_and_waits_outlive_a_restart_of_the_api(stack: Fleet) -> None:
    with Client(url_of(stack), KEY) as client:
        task = client.submit(SLEEP, {"seconds": 12})
        kinds: list[str] = []
        follower = threading.Thread(target=lambda: kinds.extend(e.kind for e in client.events(task.id)))
        follower.start()
        found: list[Any] = []
        waiter = threading.Thread(target=lambda: found.append(client.wait(task.id, timeout=100)))
        waiter.start()
        stack.wait_state(str(task.id), "running")
        kill_and_start_api(stack)
        follower.join(100)
        waiter.join(100)
    assert found[0].succeeded
    told = [kind for kind in kinds if kind != "progress"]
    assert told[0] == "submitted"
    assert told[-1] == "succeeded"
    assert len(told) == len(set(told)), "nothing twice"


@pytest.mark.long
def test_the_deadline_bounds_all_attempts_together(stack: Fleet) -> None:
    with Proxy(("127.0.0.1", stack.port)) as proxy:
        url = f"http://127.0.0.1:{proxy.port}"
        with Client(url, KEY, retries=Retries(seconds=3, attempts=1000)) as client:
            task = client.submit(ECHO, {"value": 1}, delay_seconds=3600)
            proxy.stall()
            began = time.monotonic()
            with pytest.raises(WaitTimedOut):
                client.wait(task.id, timeout=3)
            assert 0.5 < (time.monotonic() - began) / 3 < 2
            proxy.restore()
            for trouble in (proxy.refuse, proxy.stall):
                trouble()
                began = time.monotonic()
                with pytest.raises(ApiAway):
                    client.submit(ECHO, {"value": 1})
                took = time.monotonic() - began
                proxy.restore()
                assert 0.5 < took / 3 < 2
            assert client.submit(ECHO, {"value": 1}).state == "queued"


def test_the_request_id_and_the_trace_are_passed_on_to_the_task(client: Client, stack: Fleet) -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    with passing_on(request_id="req-7", traceparent=trace):
        task = client.submit(ECHO, {"value": 1})
    assert (task.request_id, task.trace_id) == ("req-7", "0af7651916cd43dd8448eb211c80319c")
    with passing_on(request_id="a\r\nX-Evil: 1", traceparent="00-nonsense"):
        other = client.submit(ECHO, {"value": 1})
    assert other.request_id not in {None, "req-7"}
    assert "Evil" not in str(other.request_id)

    async def two() -> list[str | None]:
        async with AsyncClient(url_of(stack), KEY) as asyncs:

            async def one(name: str) -> str | None:
                with passing_on(request_id=name):
                    await asyncio.sleep(0)
                    return (await asyncs.submit(ECHO, {"value": 1})).request_id

            return list(await asyncio.gather(one("a"), one("b")))

    assert asyncio.run(two()) == ["a", "b"]


def test_a_download_goes_on_where_the_connection_broke(client: Client, stack: Fleet, tmp_path: Path) -> None:
    content = os.urandom(8 * 1024 * 1024)
    item = client.files.upload(content)
    ranges: list[str | None] = []

    class Half(httpx2.SyncByteStream):
        def __init__(self, stream: Any) -> None:
            self._stream = stream

        def __iter__(self) -> Iterator[bytes]:
            sent = 0
            for piece in self._stream:
                yield piece
                sent += len(piece)
                if sent > 1_000_000:
                    raise httpx2.ReadError("broken")

        def close(self) -> None:
            self._stream.close()

    class Breaking(httpx2.HTTPTransport):
        def handle_request(self, request: httpx2.Request) -> httpx2.Response:
            answer = super().handle_request(request)
            if request.url.path.endswith("/content"):
                ranges.append(request.headers.get("Range"))
                answer = httpx2.Response(answer.status_code, headers=answer.headers, stream=Half(answer.stream))
            return answer

    with Client(url_of(stack), KEY, transport=Breaking()) as broken:
        broken.files.download(item.item_id, tmp_path / "whole")
    assert hashlib.sha256((tmp_path / "whole").read_bytes()).hexdigest() == item.sha256
    assert ranges[0] is None
    assert len(ranges) > 3
    assert all(ranges[1:])
    assert [p.name for p in tmp_path.iterdir() if p.name.endswith(".part")] == []


_FORKING = """
import os, sys
from taskyard_client import Client

client = Client(sys.argv[1], sys.argv[2])


def is_right():
    sent = [[os.getpid(), n] for n in range(50)]
    return all(client.submit("diagnostics.echo", {"value": one}).params["value"] == one for one in sent)


assert is_right()
children = []
for _ in range(4):
    pid = os.fork()
    if pid == 0:
        os._exit(0 if is_right() else 1)
    children.append(pid)
assert is_right()
assert [os.waitpid(pid, 0)[1] for pid in children] == [0] * 4
"""


@pytest.mark.long
def test_a_forked_process_has_connections_of_its_own(stack: Fleet) -> None:
    """As after gunicorn's preload: on a shared connection answers would go to the wrong process."""
    command = [sys.executable, "-c", _FORKING, url_of(stack), KEY]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr


def test_the_command_line_uses_the_client(stack: Fleet) -> None:
    environment = {**stack.environment, "TASKYARD_URL": url_of(stack), "TASKYARD_API_KEY": KEY}
    program = str(Path(sys.executable).parent / "taskyard")
    command = [program, "tasks", "submit", ECHO, '{"value": 7}', "--watch", "--json"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert '"kind":"succeeded"' in done.stdout
    (row,) = stack.query("SELECT count(*) AS n FROM idempotency_key")
    assert row.n == 1

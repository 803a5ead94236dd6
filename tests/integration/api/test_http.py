"""HTTP as bytes on a connection: where requests end, what a head may be, HEAD, one spelling of each address."""

import http.client
import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import Engine

from taskyard_api import bounds
from taskyard_api.app import PAGES, ROUTES
from tests.support.fleet import wait_for
from tests.support.served import Answer, Served, read_answers, served
from tests.support.specs import register_kits

CHUNKED = ("Content-Type: application/json", "Transfer-Encoding: chunked")
BODY = b'{"name": "diagnostics.echo", "params": {"value": 1}}'
CHUNKS = b"%x\r\n%b\r\n0\r\n" % (len(BODY), BODY)


@pytest.fixture
def api(database_url: str, redis_url: str, engine: Engine, tmp_path: Path) -> Iterator[Served]:
    register_kits(engine)
    with served(database_url, redis_url, tmp_path / "storage") as running:
        yield running


def statuses(answers: list[Answer]) -> list[int]:
    return [answer.status for answer in answers]


def next_status(wire: socket.socket) -> int:
    """Of the next answer, once all of it has come."""
    answer = http.client.HTTPResponse(wire)
    answer.begin()
    answer.read()
    return answer.status


def refused(answers: list[Answer]) -> str:
    """The word of a single 400."""
    assert statuses(answers) == [400], answers
    assert answers[0].headers["content-type"] == "application/problem+json"
    problem = answers[0].json()
    assert (problem["code"], problem["request_id"]) == ("malformed_request", answers[0].headers["x-request-id"])
    return str(problem["detail"])


GARBAGE = [b"garbage\r\n\r\n", b"\x00\xff", b"X" * 70_000, b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n"]


def test_what_was_asked_is_answered_before_a_connection_with_garbage_is_closed(api: Served) -> None:
    live = api.head("GET /health/live")
    chunked = api.head("POST /api/v1/tasks", *CHUNKED) + CHUNKS + b"\r\n"
    for garbage in GARBAGE:
        assert statuses(api.send(api.submit() + garbage)) == [202]
        assert statuses(api.send(api.submit() + api.submit() + live + garbage)) == [202, 202, 200]
        assert statuses(api.send(api.submit() + live + api.submit()[:-20], half_close=True)) == [202, 200, 400]
        assert statuses(api.send(chunked + garbage)) == [202]
        assert statuses(api.send(chunked, garbage)) in ([202], [202, 400], [202, 431]), "refused, where it came later"

    assert api.count_tasks() == 6 * len(GARBAGE)
    assert not [line for line in api.log if "Traceback" in line]


def test_a_body_that_breaks_is_refused_behind_the_answers_before_it(api: Served) -> None:
    broken = api.head("POST /api/v1/tasks", *CHUNKED)
    for chunks in (b"zz\r\n", b"-1\r\n", b"0x5\r\n", b"5;\n\r\n", b"fffffffffffffffff\r\n", b"1\r\nxy\r\n", b" 5\r\n"):
        refused(api.send(broken + chunks))
        refused(api.send(broken, chunks))
        assert statuses(api.send(api.submit() + broken + chunks)) == [202, 400], chunks
    assert api.count_tasks() == 7
    # Who has no key was refused at the head, and is not answered twice.
    anonymous = broken.replace(api.key.encode(), b"nonsense")
    with api.wire() as wire:
        wire.sendall(anonymous + b"1\r\nx\r\n")
        time.sleep(0.3)
        wire.sendall(b"zz\r\n")
        assert statuses(read_answers(wire)) == [401]


def test_a_client_that_leaves_after_sending_has_submitted_and_its_repeat_gets_the_answer(api: Served) -> None:
    for n in range(10):
        with api.wire() as wire:
            wire.sendall(api.submit(f"Idempotency-Key: {n}"))
    wait_for(lambda: api.count_tasks() == 10, 10, "all of them", every=0.2)
    for n in range(10):
        again = api.send(api.submit(f"Idempotency-Key: {n}", keep=False))
        assert (statuses(again), again[0].headers["idempotency-replayed"]) == ([202], "true")
    assert api.count_tasks() == 10
    assert statuses(api.send(api.submit(), half_close=True)) == [202], "it had closed only its own side"


def test_a_body_is_read_although_the_client_would_like_another_protocol(api: Served) -> None:
    """Java's client asks for HTTP/2 in each first request, and sends its body all the same."""
    upgrade = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAEAAEAAAAIAAAAB")
    with api.wire() as wire:
        wire.sendall(api.submit(*upgrade))
        wire.sendall(api.submit(keep=False))
        assert statuses(read_answers(wire)) == [202, 202]
    split = api.submit(*upgrade)
    with api.wire() as wire:
        wire.sendall(split[:-20])
        time.sleep(0.2)
        wire.sendall(split[-20:] + api.head("GET /health/live", "Connection: close"))
        assert statuses(read_answers(wire)) == [202, 200]
    chunked = api.head("POST /api/v1/tasks", *CHUNKED, "Connection: upgrade", "Upgrade: websocket")
    assert statuses(api.send(chunked + CHUNKS + b"\r\n", half_close=True)) == [202]
    with api.wire() as wire:
        wire.sendall(api.submit("Connection: upgrade, close", "Upgrade: websocket"))
        answers = read_answers(wire)
        assert statuses(answers) == [202]
        assert answers[0].headers["connection"] == "close"
    assert api.count_tasks() == 5


def test_trailers_are_dropped(api: Served) -> None:
    wrong = api.head("POST /api/v1/tasks", *CHUNKED).replace(f"Authorization: Bearer {api.key}\r\n".encode(), b"")
    key = f"Authorization: Bearer {api.key}\r\n\r\n".encode()
    assert statuses(api.send(wrong + CHUNKS + key, half_close=True)) == [401]
    right = api.head("POST /api/v1/tasks", *CHUNKED, "X-Request-ID: mine")
    trailers = b"X-Request-ID: other\r\nIdempotency-Key: k\r\nContent-Type: text/plain\r\nHost: y\r\n\r\n"
    for _ in range(2):
        answers = api.send(right + CHUNKS + trailers, half_close=True)
        assert statuses(answers) == [202]
        assert (answers[0].headers["x-request-id"], answers[0].json()["request_id"]) == ("mine", "mine")
    assert api.count_tasks() == 2, "the key of a trailer is none"


def test_what_stands_around_the_chunks_of_a_body_is_bounded(api: Served) -> None:
    head, size = api.head("POST /api/v1/tasks", *CHUNKED), b"%x" % len(BODY)
    small = b"".join(b"1\r\n%c\r\n" % byte for byte in BODY)
    assert statuses(api.send(head + small + b"0\r\nX: y\r\n\r\n", half_close=True)) == [202]
    padded = head + b"1\r\n \r\n" * 60_000 + small
    assert statuses(api.send(padded, b"0\r\n\r\n", half_close=True)) == [202], "five bytes for each are needed"
    for around in (CHUNKS + b"X: y\r\n" * 12_000, CHUNKS + b"X: " + b"y" * 70_000, size + b";x=" + b"y" * 70_000):
        for start in (head, head.replace(api.key.encode(), b"none")):
            with api.wire() as wire:
                wire.sendall(start + around[:100])
                time.sleep(0.2)
                wire.sendall(around[100:])
                wire.shutdown(socket.SHUT_WR)
                answers = read_answers(wire)
            if start is head:
                assert "around the chunks" in refused(answers)
            else:
                assert statuses(answers) == [401]
    assert api.count_tasks() == 2


def test_a_request_is_refused_before_its_body_is_asked_for(api: Served) -> None:
    length = "Content-Length: 1000000"
    upload = api.head("POST /api/v1/tree-items", length, "X-Filename: a.txt", "Expect: 100-continue")
    strange = upload.replace(api.key.encode(), b"ty_none")
    for head, status in ((strange, 401), (upload.replace(b"tree-items", b"nothing"), 404)):
        with api.wire() as wire:
            wire.settimeout(5)
            wire.sendall(head)
            assert statuses(read_answers(wire)) == [status], "and the connection ends: the body may come or not"
    with api.wire() as wire:
        wire.settimeout(5)
        wire.sendall(strange.replace(b"Expect: 100-continue\r\n", b""))
        assert wire.recv(65536).startswith(b"HTTP/1.1 401 ")
    with api.wire() as wire:
        wire.settimeout(5)
        wire.sendall(upload)
        assert wire.recv(65536) == b"HTTP/1.1 100 Continue\r\n\r\n"
        wire.sendall(b"x" * 1_000_000 + api.head("GET /health/live", "Connection: close"))
        assert statuses(read_answers(wire)) == [201, 200], "the connection goes on"


def test_a_client_of_http_1_0_gets_no_chunks(api: Served) -> None:
    task = api.send(api.submit(), half_close=True)[0].json()["id"]
    api.send(api.head(f"POST /api/v1/tasks/{task}/cancel", "Content-Length: 0"), half_close=True)
    stream = api.head(f"GET /api/v1/tasks/{task}/events", "Accept: text/event-stream").replace(b"HTTP/1.1", b"HTTP/1.0")
    with api.wire() as wire:
        wire.settimeout(5)
        wire.sendall(stream)
        got = b""
        while piece := wire.recv(65536):
            got += piece
    head, _, body = got.partition(b"\r\n\r\n")
    assert b"transfer-encoding" not in head.lower()
    assert body.startswith(b": taskyard\n")
    assert b"event: cancelled" in body
    assert body.endswith(b"\n\n")
    for path in ("/health/live", "/api/v1/tasks"):
        with api.wire() as wire:
            wire.sendall(api.head(f"GET {path}").replace(b"HTTP/1.1", b"HTTP/1.0"))
            assert statuses(read_answers(wire)) == [200]


def test_one_value_where_one_is_meant(api: Served) -> None:
    fields = ("X-Request-ID: a", "Idempotency-Key: a", "Traceparent: a", "Origin: a", "Last-Event-ID: a")
    for field in (*fields, "Content-Type: application/json", f"Authorization: Bearer {api.key}", "Range: bytes=0-1"):
        name = field.partition(":")[0]
        word = refused(api.send(api.submit(field, field.replace(": a", ": b"))))
        assert name.title() in word, field
    assert api.count_tasks() == 0
    refused(api.send(api.head("POST /api/v1/tasks", "Content-Length: 1", "Content-Length: 1") + b"x"))
    refused(api.send(api.head("POST /api/v1/tasks", "Content-Length: 1, 1") + b"x"))
    twice = api.get("/api/v1/tasks", "Accept: text/html", "Accept: application/json")
    assert twice.status == 200, "a list goes on in the next line"


def test_forwarded_addresses_on_several_lines_are_one_list(
    database_url: str, redis_url: str, engine: Engine, tmp_path: Path
) -> None:
    register_kits(engine)
    with served(database_url, redis_url, tmp_path, TASKYARD_TRUSTED_PROXIES="127.0.0.1") as api:
        task = api.send(api.submit(keep=False))[0].json()["id"]
        lines = ("X-Forwarded-For: 192.0.2.1", "X-Forwarded-For: 192.0.2.2")
        assert api.get(f"/api/v1/tasks/{task}/cancel", *lines, "Content-Length: 0", method="POST").status == 202
        newest = api.get("/api/v1/audit").json()["items"][0]
        assert (newest["action"], newest["address"]) == ("task.cancel", "192.0.2.2")


def test_heads_that_are_not_as_the_rfc_says_are_refused(api: Served) -> None:
    def head(*lines: str) -> bytes:
        return "\r\n".join([*lines, "", ""]).encode("latin-1")

    live = "GET /health/live HTTP/1.1"
    for lines in (
        ("GET /health/live",),
        ("GET /health/live HTTP/0.9", "Host: x"),
        ("GET /health/live HTTP/2.0", "Host: x"),
        (live,),
        (live, "Host: x", "Host: x"),
        (live, "Host: x", "Host: y"),
        (live, "Host: a b"),
        (live, "Host: x/y"),
        (live, "Host : x"),
        (live, "Host: x", " folded: 1"),
        (live, "Host: x", "Transfer-Encoding: gzip"),
        (live, "Host: x", "Transfer-Encoding: gzip, chunked"),
        (live, "Host: x", "Transfer-Encoding: chunked", "Transfer-Encoding: chunked"),
        (live, "Host: x", "Transfer-Encoding: identity"),
        (live, "Host: x", "Transfer-Encoding: chunked", "Content-Length: 5"),
        ("GET /health/live HTTP/1.0", "Transfer-Encoding: chunked"),
        *((live, "Host: x", f"Content-Length: {n}") for n in ("+5", "-1", "1_0", "0x5", "5 5", "9" * 30, "\xb2")),
        ("GET /health\xe9 HTTP/1.1", "Host: x"),
        ("CONNECT x:80 HTTP/1.1", "Host: x"),
        ("BREW / HTTP/1.1", "Host: x"),
        ("PRI * HTTP/2.0", "", "SM"),
    ):
        assert refused(api.send(head(*lines))), lines
    for lines in (
        ("GET /health/live HTTP/1.0",),
        (live, "Host: x", "Connection: close"),
        (live, "Host:", "Connection: close"),
        (live, "Host: [::1]:8000", "Connection: close"),
        ("GET http://x/health/live HTTP/1.1", "Host: x", "Connection: close"),
    ):
        assert statuses(api.send(head(*lines))) == [200], lines
    assert not [line for line in api.log if "Traceback" in line]


def test_a_head_above_64_kib_is_431_however_it_arrives(api: Served) -> None:
    field = f"X: {'x' * bounds.MAX_HEAD_BYTES}"
    small = [f"X-{n}: {'x' * 1000}" for n in range(66)]
    for fields in ([field], small):
        answers = api.send(api.head("GET /health/live", *fields))
        assert statuses(answers) == [431]
        assert answers[0].json()["code"] == "head_too_large"
        too_large = api.head("GET /health/live", *fields)
        told = statuses(api.send(api.submit() + too_large))
        assert told in ([202], [202, 431]), "answered first; no more where the answer was on its way"
        # In two pieces, the first of them behind a request, each smaller than the bound.
        for at in (1_000, 30_000, 60_000):
            with api.wire() as wire:
                wire.sendall(api.submit() + too_large[:at])
                assert next_status(wire) == 202
                wire.sendall(too_large[at:])
                assert statuses(read_answers(wire)) == [431], at
    assert api.get("/health/live", *small[:60]).status == 200
    # A head behind a large body is not mistaken for a large head.
    with api.wire() as wire:
        wire.sendall(api.submit(value="x" * 200_000) + b"GET /health/live HTTP/1.1\r\nHo")
        time.sleep(0.3)
        wire.sendall(b"st: x\r\nConnection: close\r\n\r\n")
        assert statuses(read_answers(wire)) == [202, 200]
    # Nor are two heads that fit, in three pieces.
    with api.wire() as wire:
        fits = api.head("GET /health/live", *small[:60])
        wire.sendall(fits[:40_000])
        time.sleep(0.3)
        wire.sendall(fits[40_000:] + fits[:10_000])
        time.sleep(0.3)
        wire.sendall(fits[10_000:-2] + b"Connection: close\r\n\r\n")
        assert statuses(read_answers(wire)) == [200, 200]


EVA = b'{"email": "eva@example.org", "name": "Eva"}'
_NAMES = {"/api/v1/task-types/{name}": "diagnostics.echo", "/docs/{name}": "start.js"}


def test_head_answers_like_get_without_a_body_everywhere(api: Served) -> None:
    task = api.send(api.submit(keep=False))[0].json()["id"]
    upload = api.head("POST /api/v1/tree-items", "X-Filename: a", "Content-Length: 5", "Connection: close")
    item = api.send(upload + b"hello")[0].json()["item_id"]
    worker = json.loads(api.get("/api/v1/workers").body)["items"][0]["id"]
    put = api.head(
        "PUT /api/v1/users/7", "Content-Type: application/json", f"Content-Length: {len(EVA)}", "Connection: close"
    )
    user = api.send(put + EVA)[0].json()["user_id"]
    filled = {"task_id": task, "item_id": item, "worker_id": worker, "user_id": user}
    filled |= {name: str(uuid4()) for name in ("endpoint_id", "run_id", "workflow_id", "schedule_id", "group_id")}
    with_get = {path for path, kind in (ROUTES | PAGES).items() if hasattr(kind, "on_get")}
    assert len(with_get) > 15
    for path in (*with_get, "/openapi.json", "/nope", "/api/v1/tasks/x", "/api/v1/tasks?limit=x"):
        for missing in (False, True):
            name = "nope" if missing else _NAMES.get(path, "default")
            address = path.format(**({k: k for k in filled} if missing else filled), name=name)
            key = f"Authorization: Bearer {api.key}\r\n"
            for fields in (key, f"{key}Accept: text/event-stream\r\n", ""):
                ask = f"{{}} {address} HTTP/1.1\r\nHost: x\r\n{fields}Connection: close\r\n\r\n"
                got, without = _exchange(api, ask.format("GET")), _exchange(api, ask.format("HEAD"))
                assert without[2] == b"", ask
                assert (got[0], _steady(got[1])) == (without[0], _steady(without[1])), ask
    assert _exchange(api, api.head("HEAD /api/v1/tasks/batch", "Connection: close").decode())[0] == 405


def _exchange(api: Served, ask: str) -> tuple[int, dict[str, str], bytes]:
    """Of an endless stream the head only."""
    with api.wire() as wire:
        wire.sendall(ask.encode())
        got = b""
        while piece := wire.recv(65536):
            got += piece
            if b"text/event-stream\r\n" in got and b"\r\n\r\n" in got and ask.startswith("GET"):
                break
    head, _, body = got.partition(b"\r\n\r\n")
    status, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    return int(status.split()[1]), headers, body


def _steady(headers: dict[str, str]) -> dict[str, str]:
    """Without what differs between two requests, and the framing of a stream."""
    varying = {"x-request-id", "traceparent", "date", "transfer-encoding"}
    # Figures of health and counts differ in length from one look to the next.
    kept = {name: value for name, value in headers.items() if name not in varying}
    kept["content-length"] = "some" if int(kept.get("content-length", 0)) else "none or of a stream"
    return kept


def test_an_address_has_one_spelling(api: Served) -> None:
    for path in (
        "//api/v1/tasks",
        "///api/v1/tasks",
        "/api%2Fv1/tasks",
        "/api/v1%2ftasks",
        "//health/live",
        "/./api/v1/tasks",
    ):
        assert api.get(path).status == 404, path
    assert api.get("/health/live#x").status == api.get("/api/v1/tasks?limit=1#x").status == 400
    assert api.get("/api/v1/tasks").status == 200


def test_numbers_ids_and_times_are_read_as_they_are_written(api: Served) -> None:
    task = api.send(api.submit(keep=False))[0].json()["id"]
    arabic = "%D9%A1"
    for number in ("1_0", "+1", "%201", "1%20", "1.0", "1e1", arabic, "0x1", "", "infinity", "%0A1", "1" * 5000):
        for query in (f"/api/v1/tasks?limit={number}", f"/api/v1/tasks/{task}/events?limit={number}"):
            answer = api.get(query)
            assert (answer.status, answer.json()["errors"][0]["pointer"]) == (422, "?limit"), query
        if number not in {"1.0", "1e1"}:
            assert api.get(f"/api/v1/tasks/{task}?wait={number}").status == 422, number
    for number in ("0.01", "1e-2", "2.7825657879212885e-183", "0.00012345678901234567"):
        assert api.get(f"/api/v1/tasks/{task}?wait={number}").status == 200, number
    for wrong in (
        *(task[:-1] + c for c in ("_", "+", "%20", arabic)),
        task[0] + "_" + task[2:],
        "urn:" + task.replace("-", ""),
        task.replace("-", "", 1) + "-",
    ):
        assert api.get(f"/api/v1/tasks/{wrong}").status == 404, wrong
    for wrong in (f"2026-01-0{arabic}T00:00:00Z", "2026-01-01T00:00:00%2B0_:00", "2026-1-01T00:00:00Z", "1767225600"):
        assert api.get(f"/api/v1/tasks?created_after={wrong}").status == 422, wrong


def test_a_number_that_cannot_be_kept_is_named_with_its_place(api: Served) -> None:
    for number in ("1e400", "-1e999", "9" * 5000, "-" + "9" * 400 + ".5", "9" * 20):
        body = ('{"name": "diagnostics.echo",\n "params": {"value": [1, ' + number + "]}}").encode()
        fields = ("Content-Type: application/json", f"Content-Length: {len(body)}", "Connection: close")
        answer = api.send(api.head("POST /api/v1/tasks", *fields) + body)[0]
        told = answer.json()
        assert answer.status in {400, 422}
        assert "out of range" in told["detail"], number[:20]
        assert "line 2, column" in told["detail"] or told["errors"][0]["pointer"] == "/params/value/1"
        assert "not JSON" not in told["detail"]


def test_what_is_wrong_with_a_body_is_said_in_its_own_words(api: Served) -> None:
    wrong = {
        b"[" * 2_000 + b"]" * 2_000: "The body is nested deeper than 32 levels: line 1, column ",
        b'"\\ud800"': "The body has half of a surrogate pair",
        b'"\\ude00\\ud83d"': "The body has half of a surrogate pair",
        b'"\\ud800\\u0041"': "The body has half of a surrogate pair",
        b'"\xff"': "The body is not in UTF-8.",
        b"\xef\xbb\xbf{}": "The body begins with a byte order mark: leave it out",
        b"": "There is no body: send JSON.",
        b"[1": "The body is not JSON: line 1, column 3.",
    }
    for value, words in wrong.items():
        fields = ("Content-Type: application/json", f"Content-Length: {len(value)}", "Connection: close")
        answer = api.send(api.head("POST /api/v1/tasks", *fields) + value)[0]
        assert answer.status == 400
        assert answer.json()["detail"].startswith(words), answer.json()["detail"]


def test_an_unknown_queue_is_answered_with_where_the_queues_are(api: Served) -> None:
    answer = api.get("/api/v1/queues/nope")
    assert answer.status == 404
    assert "GET /api/v1/queues lists" in answer.json()["detail"]
    assert "taskyard-worker run --queues" in answer.json()["detail"]


def test_a_file_that_the_caller_has_is_not_sent_again(api: Served) -> None:
    upload = api.head("POST /api/v1/tree-items", "X-Filename: a", "Content-Length: 5", "Connection: close")
    path = f"/api/v1/tree-items/{api.send(upload + b'hello')[0].json()['item_id']}/content"
    whole = api.get(path)
    etag, made = whole.headers["etag"], whole.headers["last-modified"]
    before, after = "Thu, 01 Jan 2015 00:00:00 GMT", "Thu, 01 Jan 2099 00:00:00 GMT"
    other = '"0"'
    for fields, status in (
        ([f"If-None-Match: {etag}"], 304),
        ([f"If-None-Match: W/{etag}"], 304),
        ([f"If-None-Match: {other}, {etag}"], 304),
        ([f"If-None-Match: {other}", f"If-None-Match: {etag}"], 304),
        (["If-None-Match: *"], 304),
        ([f"If-None-Match: {other}"], 200),
        ([f"If-None-Match: {other}", f"If-Modified-Since: {after}"], 200),
        ([f"If-Modified-Since: {made}"], 304),
        ([f"If-Modified-Since: {after}"], 304),
        ([f"If-Modified-Since: {before}"], 200),
        (["If-Modified-Since: yesterday"], 200),
        (["If-Modified-Since: Thu, 01 Jan 99999999999 00:00:00 GMT"], 200),
        ([f"If-Match: {etag}"], 200),
        (["If-Match: *"], 200),
        ([f"If-Match: {other}"], 412),
        ([f"If-Match: W/{etag}"], 412),
        ([f"If-Match: {etag}", f"If-Unmodified-Since: {before}"], 200),
        ([f"If-Unmodified-Since: {before}"], 412),
        ([f"If-Unmodified-Since: {made}"], 200),
        ([f"If-Match: {other}", f"If-None-Match: {etag}"], 412),
        ([f"If-None-Match: {etag}", "Range: bytes=0-1"], 304),
        (["Range: bytes=0-1", f"If-Range: {etag}"], 206),
        (["Range: bytes=0-1", f"If-Range: {made}"], 206),
        (["Range: bytes=0-1", f"If-Range: {before}"], 200),
        (["Range: bytes=0-1", f"If-Range: {other}"], 200),
    ):
        answer = api.get(path, *fields)
        assert answer.status == status, fields
        if status == 304:
            assert (answer.body, answer.headers["etag"], answer.headers["last-modified"]) == (b"", etag, made), fields
        if status == 412:
            assert answer.json()["code"] == "precondition_failed"
    with api.wire() as wire:
        wire.sendall(api.head(f"HEAD {path}", "Range: bytes=1-3", "Connection: close"))
        head = wire.recv(65536)
    assert b"206 Partial" in head
    assert b"content-length: 3\r\n" in head

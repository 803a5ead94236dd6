"""What deploy/smoke.sh asks of the API: work is sent, watched, and counted. Standard library only.

Where the API is and what it was given comes from SMOKE_URL, SMOKE_KEY and SMOKE_IDS, a file that collects the
ids of everything that was submitted. Exit code 1 and one line on standard error: a promise was not kept.
"""

from __future__ import annotations

import argparse
import csv
import http.client
import json
import os
import struct
import sys
import time
import zlib
from collections import Counter
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

MOST_IN_A_BATCH = 1000
LONGEST_PAGE = 200
FINAL = frozenset({"succeeded", "failed", "cancelled"})

Document = dict[str, Any]


class Broken(Exception):
    """A promise was not kept."""


def call(method: str, path: str, body: object = None) -> Document:
    """One request in JSON; its answer. Raises Broken unless it succeeded."""
    content, headers = (None, {}) if body is None else (json.dumps(body).encode(), {"Content-Type": "application/json"})
    document: Document = json.loads(sent(method, path, content, headers))
    return document


def sent(method: str, path: str, content: bytes | None, headers: dict[str, str]) -> bytes:
    """One request; the bytes of its answer. Raises Broken unless it succeeded."""
    headers = {**headers, "Authorization": f"Bearer {os.environ['SMOKE_KEY']}"}
    where = urlsplit(os.environ["SMOKE_URL"])
    connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=70)
    try:
        connection.request(method, path, content, headers)
        answer = connection.getresponse()
        received = answer.read()
    except (OSError, http.client.HTTPException) as e:
        raise Broken(f"{method} {path}: {type(e).__name__}: {e}") from e
    finally:
        connection.close()
    if not 200 <= answer.status < 300:
        raise Broken(f"{method} {path}: {answer.status} {received[:500].decode(errors='replace')}")
    return received


def submit(tasks: list[Document]) -> list[str]:
    """The ids, noted in SMOKE_IDS too."""
    ids: list[str] = []
    for start in range(0, len(tasks), MOST_IN_A_BATCH):
        items = call("POST", "/api/v1/tasks/batch", {"tasks": tasks[start : start + MOST_IN_A_BATCH]})["items"]
        ids += [item["id"] for item in items]
    note(ids)
    return ids


def note(ids: list[str]) -> None:
    with Path(os.environ["SMOKE_IDS"]).open("a", encoding="utf-8") as file:
        file.writelines(f"{task_id}\n" for task_id in ids)


def tagged(tag: str) -> list[Document]:
    """All tasks with this tag."""
    found: list[Document] = []
    cursor = ""
    while True:
        page = call("GET", f"/api/v1/tasks?tag={quote(tag)}&limit={LONGEST_PAGE}{cursor}")
        found += page["items"]
        if page["next_cursor"] is None:
            return found
        cursor = f"&cursor={quote(page['next_cursor'])}"


def until(question: Callable[[], Any], what: str, *, within_seconds: float, pause: float = 0.25) -> Any:
    """The first true answer. Raises Broken after `within_seconds`."""
    deadline = time.monotonic() + within_seconds
    while not (answer := question()):
        if time.monotonic() > deadline:
            raise Broken(f"{what}: not within {within_seconds:g} s")
        time.sleep(pause)
    return answer


def settled(tag: str, count: int, *, within_seconds: float) -> list[Document]:
    """The tasks once all of them are final. Raises Broken unless exactly `count` have succeeded."""
    states: Counter[str] = Counter()

    def look() -> list[Document] | None:
        tasks = tagged(tag)
        states.clear()
        states.update(task["state"] for task in tasks)
        return tasks if len(tasks) >= count and all(task["state"] in FINAL for task in tasks) else None

    try:
        tasks: list[Document] = until(look, f"{count} tasks {tag!r} are done", within_seconds=within_seconds)
    except Broken as e:
        raise Broken(f"{e}; states: {dict(states)}") from None
    if states != {"succeeded": count}:
        errors = {task["id"]: task["error"] for task in tasks if task["state"] != "succeeded"}
        raise Broken(f"{tag}: {count} submitted, {dict(states)}: {json.dumps(errors)[:500]}")
    return tasks


def ended(task_id: str, *, within_seconds: float) -> Document:
    """The task once it is final."""
    deadline = time.monotonic() + within_seconds
    while (task := call("GET", f"/api/v1/tasks/{task_id}?wait=10"))["state"] not in FINAL:
        if time.monotonic() > deadline:
            raise Broken(f"{task['name']}: {task['state']} after {within_seconds:g} s")
    return task


def final(task_id: str, *, within_seconds: float) -> Document:
    """The task once it is final. Raises Broken unless it succeeded."""
    task = ended(task_id, within_seconds=within_seconds)
    if task["state"] != "succeeded":
        raise Broken(f"{task['name']}: {task['state']}: {json.dumps(task['error'])}")
    return task


def moment(text: str) -> float:
    # Pythons before 3.11 don't read the Z.
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()  # noqa: FURB162


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")


def echo(options: argparse.Namespace) -> None:
    """Echo tasks in batches and a few one by one: all succeed and return what they were given."""
    tasks = [
        {"name": "diagnostics.echo", "params": {"value": {"number": n}}, "tags": ["echo"]} for n in range(options.count)
    ]
    began = time.monotonic()
    submit(tasks)
    accepted = time.monotonic() - began
    done = settled("echo", options.count, within_seconds=options.within)
    took = time.monotonic() - began
    numbers = sorted(task["result"]["value"]["number"] for task in done)
    if numbers != list(range(options.count)):
        raise Broken("echo: the results are not what was sent")
    waits = []
    for n in range(options.singles):
        body = {"name": "diagnostics.echo", "params": {"value": n}}
        began = time.monotonic()
        task = call("POST", "/api/v1/tasks", body)
        note([task["id"]])
        final(task["id"], within_seconds=20)
        waits.append(time.monotonic() - began)
    waits.sort()
    median, slowest = waits[len(waits) // 2] * 1000, waits[-1] * 1000
    say(
        f"{options.count} submitted in {accepted:.2f} s, all succeeded after {took:.2f} s;"
        f" {options.singles} one by one, submit to result: median {median:.0f} ms, slowest {slowest:.0f} ms"
    )


def file(options: argparse.Namespace) -> None:
    """files.process_large_file on an item: prints its counts, in the order that smoke.sh reads."""
    params = {"item_id": options.item}
    [task_id] = submit([{"name": "files.process_large_file", "params": params}])
    task = final(task_id, within_seconds=options.within)
    counts = task["result"]
    took = moment(task["finished_at"]) - moment(task["started_at"])
    names = ("processed_lines", "blank_lines", "invalid_lines", "bytes")
    say(" ".join(str(counts[name]) for name in names) + f" {took:.1f}")


def raster(options: argparse.Namespace) -> None:
    """Uploads an image, asks for its conversion, and reads from the GeoTIFF where it lies, and how large a pixel is."""
    side, left, top = 1000, 1_820_000.0, 6_144_000.0
    image = png_of_noise(side)
    item = json.loads(sent("POST", "/api/v1/tree-items", image, {"X-Filename": "smoke.png"}))["item_id"]
    wish = {"bounds": [left, top - 10 * side, left + 10 * side, top], "crs": "EPSG:3857"}
    task_id = call("POST", f"/api/v1/tree-items/{item}/convert-to-geo-raster", wish)["task_id"]
    note([task_id])
    task = final(task_id, within_seconds=options.within)
    made = sent("GET", f"/api/v1/tree-items/{item}/content", None, {})
    # The tags ModelPixelScale and ModelTiepoint of GeoTIFF (OGC 19-008r4), three and six doubles.
    scale, tie = doubles_of(made, 33550)[:2], doubles_of(made, 33922)[3:5]
    if (scale, tie) != ((10.0, 10.0), (left, top)):
        raise Broken(f"the raster lies at {tie}, a pixel is {scale}")
    took = moment(task["finished_at"]) - moment(task["started_at"])
    say(
        f"{side} x {side} pixels of 10 m from {left:.0f}, {top:.0f}, as asked; {len(made) // 1024} KiB, in {took:.1f} s"
    )


def png_of_noise(side: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + os.urandom(3 * side) for _ in range(side))
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def doubles_of(tiff: bytes, wanted: int) -> tuple[float, ...]:
    """The doubles of a tag in the first directory of a little-endian TIFF. Raises Broken where there are none."""
    (at,) = struct.unpack_from("<I", tiff, 4)
    for n in range(struct.unpack_from("<H", tiff, at)[0]):
        tag, kind, count, where = struct.unpack_from("<HHII", tiff, at + 2 + 12 * n)
        if (tag, kind) == (wanted, 12):
            return struct.unpack_from(f"<{count}d", tiff, where)
    raise Broken(f"the raster has no tag {wanted}")


def panel(options: argparse.Namespace) -> None:
    """Draws a panel in a selection run and counts whom it holds: every quota is met."""
    people = [
        {"id": n, "gender": ("female", "male")[n % 2], "area": ("north", "south", "east")[n % 3]}
        for n in range(options.people)
    ]
    quotas = [
        *({"feature": "gender", "value": value, "min": 15, "max": 15} for value in ("female", "male")),
        *({"feature": "area", "value": value, "min": 9, "max": 11} for value in ("north", "south", "east")),
    ]
    wish = {
        "kind": "run_select",
        "selection_params": {"number_to_select": 30, "id_column": "id", "random_seed": 1},
        "feature_data": {"rows": people},
        "quota_data": {"rows": quotas},
    }
    run = call("POST", "/api/v1/selection-runs", wish)
    note([run["task_id"]])
    task = final(run["task_id"], within_seconds=options.within)
    table = sent("GET", f"/api/v1/tree-items/{task['result']['selected_item_id']}/content", None, {})
    drawn = {int(row["id"]) for row in csv.DictReader(table.decode("utf-8-sig").splitlines())}
    chosen = [person for person in people if person["id"] in drawn]
    counts = Counter(person[feature] for person in chosen for feature in ("gender", "area"))
    if len(chosen) != 30 or not all(quota["min"] <= counts[quota["value"]] <= quota["max"] for quota in quotas):
        raise Broken(f"{len(chosen)} of 30 people are drawn: {dict(counts)}")
    record = call("GET", f"/api/v1/selection-runs/{run['id']}")
    if (record["status"], record["progress_percentage"]) != ("COMPLETED", 100):
        raise Broken(f"the run of a panel that is drawn says {record['status']}, {record['progress_percentage']} %")
    took = moment(task["finished_at"]) - moment(task["started_at"])
    say(f"30 of {options.people} people by {len(quotas)} quotas, all met, in {took:.1f} s")


def mail(options: argparse.Namespace) -> None:
    """email.send; prints the Message-ID."""
    params = {
        "to_email": options.to,
        "subject": options.subject,
        "text": "Hello Ada",
        "html_content": "<p>Hello Ada</p>",
    }
    [task_id] = submit([{"name": "email.send", "params": params}])
    say(final(task_id, within_seconds=options.within)["result"]["message_id"])


def workers(options: argparse.Namespace) -> None:
    """Waits until so many workers serve the queue and beat; prints their hosts."""

    def look() -> list[Document] | None:
        items = call("GET", "/api/v1/workers?limit=200")["items"]
        alive = [w for w in items if w["state"] == "running" and options.queue in w["queues"]]
        return alive if len(alive) == options.count else None

    for worker in until(look, f"{options.count} workers serve {options.queue}", within_seconds=options.within):
        say(worker["host"])


def sleepers(options: argparse.Namespace) -> None:
    params = {"seconds": options.seconds}
    submit([{"name": "diagnostics.sleep", "params": params, "tags": [options.tag]}] * options.count)


def running(options: argparse.Namespace) -> None:
    """Waits until the host runs tasks with this tag; prints how many."""

    def look() -> int:
        begun = [t for t in tagged(options.tag) if t["state"] == "running"]
        return sum(1 for task in begun if (task["worker"] or "").startswith(f"{options.host}-"))

    # As many as it has slots, a moment after the first: claims come in groups.
    until(look, f"{options.host} runs tasks", within_seconds=options.within)
    time.sleep(1)
    say(str(look()))


def wait_for(options: argparse.Namespace) -> None:
    """Waits until all tasks with this tag have succeeded."""
    settled(options.tag, options.count, within_seconds=options.within)


def delayed(options: argparse.Namespace) -> None:
    task = {
        "name": "diagnostics.echo",
        "params": {"value": 1},
        "delay_seconds": options.delay,
        "tags": [options.tag],
    }
    submit([task] * options.count)


def lateness(options: argparse.Namespace) -> None:
    """How long after its due time the latest of them was started, in seconds; never before it."""
    late = [moment(task["started_at"]) - moment(task["run_at"]) for task in tagged(options.tag)]
    if min(late) < 0:
        raise Broken(f"a delayed task began {-min(late):.2f} s too early")
    say(f"{max(late):.1f}")


def too_large(options: argparse.Namespace) -> None:
    """A task that wants more memory than its container has: it fails with its crashes, each told as what it was."""
    params = {"megabytes": options.megabytes, "hold_seconds": 5}
    [task_id] = submit([{"name": "diagnostics.allocate", "params": params}])
    task = ended(task_id, within_seconds=options.within)
    events = call("GET", f"/api/v1/tasks/{task_id}/events")["items"]
    causes = [event["data"]["cause"] for event in events if event["kind"] == "crashed"]
    if task["error"]["code"] != "crash_limit" or not all("out of memory" in cause for cause in causes):
        raise Broken(f"the task that is too large ended with {task['error']}, its crashes were {causes}")
    say(f"{task['error']['code']} after {len(causes)} attempts: {causes[-1]}")


def leader(options: argparse.Namespace) -> None:
    """The host of the scheduler that leads, once there is one other than `--not`."""

    def look() -> str:
        name = call("GET", "/health/detailed")["components"]["scheduler"]["leader"] or ""
        host = str(name).rpartition(":")[0]
        return "" if host == options.other_than else host

    say(until(look, "a scheduler leads", within_seconds=options.within))


def health(_: argparse.Namespace) -> None:
    """The state of the whole as the API tells it."""
    found = call("GET", "/health/detailed")
    say(found["status"] + ": " + ", ".join(f"{k} {v['status']}" for k, v in found["components"].items()))


def main() -> int:
    parser = argparse.ArgumentParser(prog="smoke_work.py", description=__doc__)
    commands = parser.add_subparsers(required=True)

    def command(name: str, verb: Callable[[argparse.Namespace], None], **defaults: object) -> None:
        own = commands.add_parser(name)
        own.set_defaults(verb=verb)
        for option, default in {"within": 60.0, **defaults}.items():
            kind = str if default is None else type(default)
            own.add_argument(f"--{option.replace('_', '-')}", type=kind, default=default)

    command("echo", echo, count=1000, singles=20)
    command("file", file, item=None, within=300.0)
    command("raster", raster, within=120.0)
    command("panel", panel, people=300, within=120.0)
    command("mail", mail, to=None, subject=None)
    command("workers", workers, queue="default", count=1)
    command("sleepers", sleepers, count=1, seconds=1.0, tag=None)
    command("running", running, host=None, tag=None)
    command("wait-for", wait_for, tag=None, count=1, within=120.0)
    command("delayed", delayed, count=1, delay=1.0, tag=None)
    command("lateness", lateness, tag=None)
    command("too-large", too_large, megabytes=1500, within=120.0)
    command("leader", leader, other_than="")
    command("health", health)
    options = parser.parse_args()
    try:
        options.verb(options)
    except Broken as e:
        sys.stderr.write(f"{e}\n")
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())

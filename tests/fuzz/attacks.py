"""What is sent in turn: the corpus once, and mutations of it until the time is over.

Hypothesis only draws here: what breaks a promise is noted, and the next one is sent.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Iterator
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable

from .corpus import ANY, Body, Image, Wire, bodies, images, mails, tasks, wire
from .described import MODES, Described
from .mutation import changed_bytes, changed_json, segments
from .stand import Stand
from .tasks import PLACES, TELLS, VALUES

_STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) ")
_ITEMS = "/api/v1/tree-items"
_TASKS = "/api/v1/tasks"
_CONTENT_TYPES = (
    "application/json",
    "application/json; charset=utf-16",
    "text/plain",
    "a/b; c",
    "",
    "multipart/form-data",
)
_LANGUAGES = ("de", "hu;q=0, *", "x" * 500, "\xe9", "fr-CA,fr;q=2", ",;=,")
# What a key with `read` writes, in all that a caller may write.
PRIVATE = "jackdaw-7c31"
_WAIT_SECONDS = 20.0


class Attacks:
    def __init__(self, stand: Stand, described: Described) -> None:
        self._stand = stand
        self._described = described

    def corpus(self, number: int) -> None:
        """Every entry as it is; of those that end their process one, as the type is slowed for it."""
        secret = self._stand.notes.secret
        for params in ({"place": PRIVATE, "value": PRIVATE}, {"place": "TaskError, message", "value": PRIVATE}):
            self._submit(Body("private", "it is shown with `read` only", tasks.submit(
                "tests.fuzz.hand_over", params, tags=[PRIVATE]), 202))  # fmt: skip
        for one in wire.WIRES:
            self._send(one)
        for body in (*bodies.BODIES, *mails.MAILS, *tasks.TASKS, tasks.refused_secret(secret)):
            self._submit(body)
        for place in TELLS:
            self._submit(tasks.hands_secret(place, secret))
        for image in images.IMAGES:
            self._ask_for_thumbnail(image.name, image.make(), {"width": 16, "height": 16}, image)
        self._submit(tasks.ENDS_PROCESS[number % len(tasks.ENDS_PROCESS)])

    def turns(self) -> Iterator[Callable[[int], None]]:
        """Each takes a seed, and a second or so."""
        while True:
            for operation in self._described.operations:
                yield lambda number, operation=operation: self._schemathesis(operation, number)  # type: ignore[misc]
                yield self._wires
                yield self._bodies
                yield self._hand_overs
                yield self._images

    def _schemathesis(self, operation: Any, number: int) -> None:
        known = self._known()
        for mode in MODES:

            def attack(case: Any, mode: Any = mode) -> None:
                if mode.is_positive:
                    for name, ids in known.items():
                        if ids and name in case.path_parameters:
                            case.path_parameters[name] = ids[self._stand.notes.sent % len(ids)]
                self._described.attack(case)
                self._described.attack_as(self._stand.blind, case, PRIVATE)

            _draw(attack, operation.as_strategy(generation_mode=mode), number, 5)

    def _known(self) -> dict[str, list[str]]:
        rows = self._stand.fleet.query("SELECT id FROM task ORDER BY random() LIMIT 20")
        items = self._stand.fleet.query("SELECT id FROM tree_item LIMIT 20")
        return {"task_id": [str(row.id) for row in rows], "item_id": [str(row.id) for row in items]}

    def _wires(self, number: int) -> None:
        whole = [b"".join(one.segments) for one in wire.WIRES]
        pieces = segments(changed_bytes(whole))
        _draw(lambda found: self._send(Wire("changed bytes", "bytes are answered", found, ())), pieces, number, 20)

    def _bodies(self, number: int) -> None:
        def send(given: tuple[tuple[str, bytes], str, str]) -> None:
            (path, body), kind, language = given
            headers = {"Content-Type": kind, "Accept-Language": language.encode("latin-1")}
            self._described.ask("a changed body", "POST", path, content=body, headers=headers)

        kinds = st.sampled_from((_CONTENT_TYPES[0],) * 20 + _CONTENT_TYPES)
        full = st.tuples(changed_json((*bodies.FULL, *mails.FULL)), kinds, st.sampled_from(_LANGUAGES))
        _draw(send, full, number, 25)

    def _hand_overs(self, number: int) -> None:
        def send(given: tuple[str, str]) -> None:
            place, value = given
            body = tasks.submit("tests.fuzz.hand_over", {"place": place, "value": value})
            self._submit(Body(f"{value} as {place}", "what a task hands over harms nobody", body, 202))

        _draw(send, st.tuples(st.sampled_from(sorted(PLACES)), st.sampled_from(sorted(VALUES))), number, 20)
        self._submit(tasks.SPEAK)

    def _images(self, number: int) -> None:
        sides = st.integers(1, 4096)
        given = st.tuples(changed_bytes(list(images.SMALL.values()), most=5), sides, sides)
        _draw(
            lambda found: self._ask_for_thumbnail("a changed image", found[0], {"width": found[1], "height": found[2]}),
            given, number, 3,
        )  # fmt: skip

    def _send(self, one: Wire) -> None:
        """Sends the segments, closes its side, and reads until the API closes the connection."""
        notes = self._stand.notes
        notes.sent += 1
        got = b""
        with socket.create_connection(("127.0.0.1", self._stand.fleet.port), timeout=_WAIT_SECONDS) as connection:
            try:
                for piece in one.segments:
                    connection.sendall(piece)
                connection.shutdown(socket.SHUT_WR)
                while piece := connection.recv(65536):
                    got += piece
            except TimeoutError:
                notes.wrong(f"{one.name} ({one.promise})", "the connection is not closed", one.segments)
            except OSError:
                pass  # closed by the API before it had read everything
        notes.look(one.name, got.decode("latin-1"), one.segments)
        statuses = tuple(int(status) for status in _STATUS.findall(got))
        is_http = not got or got.startswith(b"HTTP/1.1 ")
        if (
            not is_http
            or any(status >= 500 for status in statuses)
            or (one.name != "changed bytes" and statuses != one.answers)
        ):
            notes.wrong(f"{one.name} ({one.promise})", f"{statuses} {got[:600]!r}", one.segments)

    def _submit(self, one: Body) -> None:
        what = f"{one.name} ({one.promise})"
        answer = self._described.ask(
            what, "POST", one.path, content=one.body, headers={"Content-Type": "application/json"}
        )
        if answer is None:
            return
        if answer.status_code != one.status:
            self._stand.notes.wrong(what, f"{answer.status_code} instead of {one.status}: {answer.text}", one.body)
        elif one.status == 202 and one.path == _TASKS:
            self._stand.notes.expected[answer.json()["id"]] = one

    def _ask_for_thumbnail(self, what: str, content: bytes, sides: dict[str, int], one: Image | None = None) -> None:
        headers = {"X-Filename": "image", "Content-Type": "image/png"}
        stored = self._described.ask(what, "POST", _ITEMS, content=content, headers=headers)
        if stored is None or stored.status_code != 201:
            return
        item = stored.json()["item_id"]
        route = f"{_ITEMS}/{{item_id}}/thumbnail"
        answer = self._described.ask(what, "POST", route, f"{_ITEMS}/{item}/thumbnail", json=sides)
        if answer is not None and answer.status_code == 202:
            promise = one.promise if one else "an image is decoded or refused with words"
            ends = one.ends if one else ANY
            body = Body(what, promise, content[:2_000], 202, ends)
            self._stand.notes.expected[answer.json()["task_id"]] = body


def _draw(send: Callable[[Any], None], strategy: Any, number: int, most: int) -> None:
    """Calls with what the strategy makes of the seed."""

    @seed(number)
    @settings(
        max_examples=most,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def run(value: Any) -> None:
        send(value)

    try:
        run()
    except Unsatisfiable:
        return  # a call without input has no invalid input

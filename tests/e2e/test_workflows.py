"""Workflows from the call to the mail: one stack of real processes, and workers that die between a step's effect and
its end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from taskyard_client import Client, Workflow, chain, chord, group, previous, step
from tests.support.certificates import Authority
from tests.support.composed import guard_moves
from tests.support.effects import effects
from tests.support.fleet import KEY, Fleet
from tests.support.mail_server import LOGIN, MailServer, mail_server
from tests.support.mortal_worker import mortal_worker
from tests.support.pages import pages_of

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

EFFECT = "tests.effect"


class Stack:
    """An API and a scheduler that stay, and a worker at a time."""

    def __init__(self, fleet: Fleet, mails: MailServer) -> None:
        self.fleet = fleet
        self.mails = mails
        fleet.start_api()
        fleet.start_scheduler()
        self.client = Client(f"http://127.0.0.1:{fleet.port}", KEY)

    def worker(self, dies_at: str | None = None) -> AbstractContextManager[Path]:
        return mortal_worker(self.fleet, dies_at, queues="default,low_priority,high_priority")

    def ended(self, flow: Workflow) -> Workflow:
        found = self.client.wait_workflow(flow.id, timeout=90)
        assert found.succeeded, [(s.name, s.state, s.error) for s in self.client.workflow_steps(flow.id)]
        return found

    def result_of(self, flow: Workflow, name: str) -> Any:
        steps = {one.name: one for one in self.client.workflow_steps(flow.id)}
        return self.client.task(steps[name].task_id).result


@pytest.fixture(scope="module")
def stack(
    tmp_path_factory: pytest.TempPathFactory, new_database: Callable[[], str], new_redis_url: Callable[[], str]
) -> Iterator[Stack]:
    home = tmp_path_factory.mktemp("workflows")
    authority = Authority(home)
    fleet = Fleet(home, new_database(), new_redis_url())
    guard_moves(fleet.engine)
    with mail_server(home / "mails", authority) as mails:
        fleet.environment |= {
            "TASKYARD_SMTP_HOST": "127.0.0.1",
            "TASKYARD_SMTP_PORT": str(mails.port),
            "TASKYARD_SMTP_USER": LOGIN[0],
            "TASKYARD_SMTP_PASSWORD": LOGIN[1],
            "TASKYARD_MAIL_FROM": "Yard <yard@example.com>",
            "SSL_CERT_FILE": str(authority.certificate),
        }
        made = Stack(fleet, mails)
        try:
            yield made
        finally:
            made.client.close()
            fleet.stop()


def mailed(stack: Stack, to: str) -> list[str]:
    found = [m for m in stack.mails.messages() if m["To"] == to]
    return [m.get_body(("plain",)).get_content() for m in found]  # type: ignore[union-attr]


def followed(stack: Stack, flow: Workflow) -> list[str]:
    """The kinds of the live events, until the stream ends by itself."""
    headers = {"Accept": "text/event-stream"}
    with stack.fleet.http.stream("GET", f"/workflows/{flow.id}/events", headers=headers) as answer:
        return [line.removeprefix("event: ") for line in answer.iter_lines() if line.startswith("event: ")]


def test_uploaded_files_are_preprocessed_analysed_reported_and_notified_of(stack: Stack) -> None:
    """The chain of the system that Taskyard replaces, and its group over files."""
    with stack.worker():
        files = [f"id,name\n{n},Ada\n".encode() for n in range(3)]
        items = [stack.client.files.upload(file, name=f"f{n}.csv").item_id for n, file in enumerate(files)]
        analyse = step("files.import_data", {"item_id": str(items[0]), "collection": "flow"}, called="analyse")
        report = step("reports.generate", {"report_type": "tasks"}, called="report")
        flow = stack.client.start(
            chain(
                step("files.process_large_file", {"item_id": str(items[0])}, called="preprocess"),
                analyse,
                report,
                step(
                    "notifications.send",
                    {
                        "to_email": "chain@example.org",
                        "subject": previous("name"),
                        "message": analyse.result("collection"),
                    },
                    called="notify",
                ),
            ),
            name="reactrine",
        )
        over_files = stack.client.start(
            chord(
                group(step("files.process_large_file", {"item_id": str(item)}) for item in items),
                step("reports.generate", {"report_type": "tasks"}, called="report"),
            )
            | step("notifications.send", {"to_email": "group@example.org", "message": previous("item_id")})
        )
        kinds = followed(stack, flow)
        done = stack.ended(flow)
        stack.ended(over_files)
    assert [kind for kind in kinds if kind != "progress"] == ["submitted", *["step"] * 4, "succeeded"]
    assert (done.progress.current, done.progress.percent) == (4, 100)
    made = stack.result_of(flow, "report")
    assert pages_of(stack.client.files.read(made["item_id"]))
    assert "flow" in mailed(stack, "chain@example.org")[0]
    assert stack.result_of(over_files, "report")["item_id"] in mailed(stack, "group@example.org")[0]


@pytest.mark.long
def test_a_step_that_fails_as_its_users_see_it_and_a_retry_of_what_did_not_succeed(stack: Stack) -> None:
    with stack.worker():
        flow = stack.client.start(
            chain(
                step(EFFECT, called="first"),
                step("files.process_large_file", {"item_id": str(uuid4())}, called="read"),
                step(EFFECT, called="last"),
            )
        )
        failed = stack.client.wait_workflow(flow.id, timeout=60)
        states = {one.name: (one.state, one.error and one.error.code) for one in failed.steps}
        assert failed.state == "failed"
        assert states == {
            "first": ("succeeded", None),
            "read": ("failed", "item_not_found"),
            "last": ("cancelled", None),
        }
        ran = Counter(effects(stack.fleet.effects))
        again = stack.client.retry_workflow(flow.id)
        now = {one.name: one.state for one in again.steps}
        assert (now["first"], now["last"]) == ("succeeded", "blocked")
        assert stack.client.wait_workflow(flow.id, timeout=60).state == "failed"
        ends_what_runs(stack)
    assert sum((Counter(effects(stack.fleet.effects)) - ran).values()) == 1, "what succeeded did not run again"


def ends_what_runs(stack: Stack) -> None:
    """A workflow that is cancelled starts nothing more."""
    flow = stack.client.start(chain(step(EFFECT, {"seconds": 60}, called="long"), step(EFFECT, called="after")))
    stack.fleet.wait_state(str(flow.steps[0].task_id), "running")
    stack.client.cancel_workflow(flow.id)
    found = stack.client.wait_workflow(flow.id, timeout=30)
    assert found.state == "cancelled"
    assert {one.state for one in found.steps} == {"cancelled"}


@pytest.mark.long
def test_every_join_runs_once_although_workers_die_again_and_again_around_the_ends_of_its_needs(stack: Stack) -> None:
    """Killed between the effect and its end, before and after the end is durable, and after a claim is."""
    places = ("effect.after:3", "finish.before:2", "finish.after:2", "claim.after:3")
    flows = [
        stack.client.start(
            chain(
                group(step(EFFECT) for _ in range(4)),
                step(EFFECT, called="join"),
                step("tests.split", {"children": 3, "seconds": 0}, called="split"),
                step(EFFECT, called="end"),
            )
        )
        for _ in range(3)
    ]
    with stack.worker(dies_at=",".join(places)) as reached:
        for flow in flows:
            stack.ended(flow)
    assert {path.name for path in reached.parent.iterdir()} == {place.partition(":")[0] for place in places}
    for flow in flows:
        ends = stack.fleet.query(
            "SELECT data ->> 'task_id' AS task, count(*) AS n FROM workflow_event"
            " WHERE workflow_id = :id AND kind = 'step' GROUP BY 1",
            id=flow.id,
        )
        assert [row.n for row in ends] == [1] * (4 + 3 + 3), "each step ends once"
        left = stack.fleet.query("SELECT pending_needs FROM workflow_step WHERE workflow_id = :id", id=flow.id)
        assert {row.pending_needs for row in left} == {0}, "and counts once"
    ran = Counter(effects(stack.fleet.effects))
    attempts = stack.fleet.query("SELECT id, attempt FROM task WHERE id = ANY(:ids)", ids=[UUID(t) for t in ran])
    assert all(row.attempt >= ran[str(row.id)] for row in attempts), "no attempt has its effect twice"
    assert sum(ran.values()) <= len(ran) + len(places) * 2, "what ran in one of two threads as its process died"

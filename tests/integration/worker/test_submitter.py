"""What a running task submits is committed, published, and bound to what its submitter may do."""

from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID

import pytest
from cryptography.fernet import Fernet
from pydantic import ValidationError

from taskyard.catalogue.secrets import Cipher, Secret
from taskyard.catalogue.types import Catalogue, Params, Result, TaskType
from taskyard.domain.errors import Fenced, TaskCancelled, TaskError
from taskyard.running.context import Child, TaskContext
from taskyard.running.hooks import Hook, Hooks, Submit
from taskyard.running.submission import maker
from taskyard.settings import Settings
from taskyard.storage.local import LocalStorage
from taskyard.store import ledger
from taskyard_worker.child.submitter import submit
from tests.integration.worker.harness import Harness, Kept


class ReportParams(Params):
    page: int = 1
    token: Secret[str] | None = None


REPORT = TaskType(name="test.report", description="", params=ReportParams, result=Result, queue="reports")
CIPHER = Cipher([Fernet.generate_key().decode()])


class Heard(Hook):
    """Keeps what it hears of, and whether the ledger had it by then."""

    def __init__(self, harness: Harness) -> None:
        self._harness = harness
        self.moments: list[tuple[str, Submit, bool]] = []
        self.error: BaseException | None = None

    def before_submit(self, task: Submit) -> None:
        self._keep("before", task)

    def after_submit(self, task: Submit) -> None:
        self._keep("after", task)

    def _keep(self, moment: str, task: Submit) -> None:
        if len(self.moments) >= 20:
            return  # each look reads the whole table
        self.moments.append((moment, task, task.task_id in self._harness.rows()))
        if self.error is not None:
            raise self.error


class Submitting:
    """A running task that submits."""

    def __init__(self, harness: Harness, storage: LocalStorage) -> None:
        self.harness = harness
        self.told = Kept()
        self.heard = Heard(harness)
        settings = Settings(task_timeout_hours=1)
        self._submit = partial(
            submit,
            maker(settings, Catalogue([REPORT]), CIPHER),
            partial(ledger.run_transaction, harness.engine),
            self.told,
            Hooks([self.heard]),
        )
        self._given: dict[str, Any] = {"settings": settings, "storage": storage, "sink": None, "connect": None}

    def submit(self, *children: Child, allowed: Sequence[str] | None = None) -> list[UUID]:
        (work,) = self.harness.claim(self.harness.submit())
        self.harness.execute("DELETE FROM outbox")
        self.parent = TaskContext(
            task_id=work.id, claim=work.claim, name="test.parent", attempt=1, submitter=self._submit,
            request_id="r-1", submitted_by="ci", allowed_queues=allowed, **self._given,
        )  # fmt: skip
        return self.parent.submit_many(children)

    def children(self) -> dict[UUID, Any]:
        return {i: row for i, row in self.harness.rows().items() if row.parent_id is not None}


@pytest.fixture
def submitting(harness: Harness, tmp_path: Any) -> Submitting:
    return Submitting(harness, LocalStorage(tmp_path))


def test_children_are_committed_with_an_outbox_row_and_inherit_whose_they_are(submitting: Submitting) -> None:
    ids = submitting.submit(
        Child(REPORT, {"page": 2}), Child(REPORT, {}, "default", tags=["a"]), allowed=["reports", "default"]
    )
    rows = submitting.children()
    assert [(rows[i].queue, rows[i].state, rows[i].tags) for i in ids] == [
        ("reports", "queued", []),
        ("default", "queued", ["a"]),
    ]
    for row in rows.values():
        assert (row.parent_id, row.request_id, row.submitted_by) == (submitting.parent.task_id, "r-1", "ci")
        assert row.allowed_queues == ["reports", "default"]
        assert 3500 < (row.expires_at - row.created_at).total_seconds() <= 3600
    (committed,) = submitting.told.committed
    assert [p.task_id for p in committed.publications] == ids
    (boxed,) = submitting.harness.query("SELECT id, task_ids FROM outbox")
    assert (boxed.id, sorted(boxed.task_ids)) == (committed.outbox_ids[0], sorted(ids))


def test_a_delayed_child_is_scheduled_and_wakes_the_scheduler(submitting: Submitting) -> None:
    (child,) = submitting.submit(Child(REPORT, {}, delay=timedelta(minutes=1)))
    assert submitting.harness.states([child]) == ["scheduled"]
    (committed,) = submitting.told.committed
    assert (committed.publications, committed.wakes_scheduler) == ([], True)


def test_a_secret_handed_on_is_sealed_again(submitting: Submitting) -> None:
    (child,) = submitting.submit(Child(REPORT, {"token": Secret("s3cr3t")}))
    stored = submitting.harness.rows()[child].params
    assert "s3cr3t" not in str(stored)
    assert REPORT.read(stored, CIPHER).token == Secret("s3cr3t")


@pytest.mark.parametrize(
    ("child", "allowed", "code"),
    [
        (Child(REPORT, {}, "nowhere"), None, "unknown_queue"),
        (Child(REPORT, {}, ""), None, "unknown_queue"),
        (Child(REPORT, {}), ["default"], "queue_not_allowed"),
        (Child(REPORT, {}, "default"), ["reports"], "queue_not_allowed"),
    ],
)
def test_a_child_in_a_queue_that_is_unknown_or_not_allowed_is_refused(
    submitting: Submitting, child: Child, allowed: list[str] | None, code: str
) -> None:
    with pytest.raises(TaskError) as refused:
        submitting.submit(Child(REPORT, {}, allowed[0] if allowed else None), child, allowed=allowed)
    assert (refused.value.code, refused.value.retryable) == (code, False)
    assert submitting.children() == {}, "nor are the others"


def test_parameters_that_do_not_fit_are_refused_as_strictly_as_over_http(submitting: Submitting) -> None:
    for params in ({"page": "1"}, {"page": True}, {"pages": 1}):
        with pytest.raises(ValidationError):
            submitting.submit(Child(REPORT, params))
    assert submitting.children() == {}


def test_many_children_go_in_pages(submitting: Submitting) -> None:
    ids = submitting.submit(*(Child(REPORT, {"page": n}) for n in range(2_500)))
    assert [len(c.publications) for c in submitting.told.committed] == [1000, 1000, 500]
    assert sorted(submitting.children()) == sorted(ids)


def test_an_attempt_that_was_given_up_leaves_no_children(submitting: Submitting) -> None:
    submitting.submit(Child(REPORT, {}))
    submitting.harness.execute("UPDATE task SET claim = gen_random_uuid() WHERE id = :id", id=submitting.parent.task_id)
    with pytest.raises(Fenced):
        submitting.parent.submit_many([Child(REPORT, {})])
    assert len(submitting.harness.query("SELECT FROM task WHERE parent_id = :id", id=submitting.parent.task_id)) == 1


def test_hooks_hear_of_a_child_before_and_after_it_is_stored_and_see_no_secret(submitting: Submitting) -> None:
    ids = submitting.submit(Child(REPORT, {"page": 2, "token": Secret("s3cr3t")}, tags=["a"]), Child(REPORT, {}))
    heard = [(moment, task.task_id, is_stored) for moment, task, is_stored in submitting.heard.moments]
    assert heard == [*(("before", i, False) for i in ids), *(("after", i, True) for i in ids)]
    task = submitting.heard.moments[0][1]
    assert (task.name, task.queue, task.tags, task.request_id, task.submitted_by) == (
        *("test.report", "reports", ("a",)),
        *("r-1", "ci"),
    )
    assert task.parent_id == submitting.parent.task_id
    assert task.params == {"page": 2, "token": "***"}


@pytest.mark.parametrize("error", [RuntimeError("of the hook"), SystemExit(3)])
def test_a_hook_that_raises_keeps_no_child_from_being_submitted(submitting: Submitting, error: BaseException) -> None:
    submitting.heard.error = error
    (child,) = submitting.submit(Child(REPORT, {}))
    assert submitting.harness.states([child]) == ["queued"]
    assert [moment for moment, *_ in submitting.heard.moments] == ["before", "after"]


def test_an_interrupt_that_arrives_in_a_hook_of_a_submit_is_the_task_s(submitting: Submitting) -> None:
    submitting.heard.error = TaskCancelled()
    with pytest.raises(TaskCancelled):
        submitting.submit(Child(REPORT, {}))


def test_hooks_hear_nothing_of_a_child_that_is_refused_and_no_after_where_it_is_not_stored(
    submitting: Submitting,
) -> None:
    with pytest.raises(ValidationError):
        submitting.submit(Child(REPORT, {"page": "1"}))
    assert submitting.heard.moments == []
    submitting.submit(Child(REPORT, {}))
    submitting.heard.moments.clear()
    submitting.harness.execute("UPDATE task SET claim = gen_random_uuid() WHERE id = :id", id=submitting.parent.task_id)
    with pytest.raises(Fenced):
        submitting.parent.submit_many([Child(REPORT, {})])
    assert [moment for moment, *_ in submitting.heard.moments] == ["before"]

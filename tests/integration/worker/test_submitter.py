"""What a running task submits is committed, published, and bound to what its submitter may do."""

import itertools
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from functools import partial
from typing import Annotated, Any
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from cryptography.fernet import Fernet
from pydantic import BaseModel, Field, SecretStr

from taskyard.catalogue.secrets import Cipher, Secret
from taskyard.catalogue.spec import spec_of
from taskyard.catalogue.types import Catalogue, Params, Result, TaskType
from taskyard.domain.errors import Fenced, TaskCancelled, TaskError
from taskyard.running.child import Child
from taskyard.running.children import Children
from taskyard.running.context import TaskContext
from taskyard.running.hooks import Hook, Hooks, Submit
from taskyard.running.registered import AGAIN_SECONDS, KNOWN_SECONDS, Registered
from taskyard.settings import Settings
from taskyard.storage.local import LocalStorage
from taskyard.store import ledger, task_types
from taskyard.store.audit import Actor
from taskyard_worker.child.submitter import submit
from tests.integration.lifecycle.rows import register
from tests.integration.worker.harness import Harness, Kept


class ReportParams(Params):
    page: int = 1
    token: Secret[str] | None = None


class OtherParams(Params):
    n: int
    token: Secret[str] | None = None


REPORT = TaskType(name="test.report", description="", params=ReportParams, result=Result, queue="reports")


class EchoParams(Params):
    value: Any


ECHO = TaskType(name="test.echo", description="", params=EchoParams, result=Result)


class Colour(Enum):
    RED = "red"


class Line(BaseModel):
    text: str
    token: Secret[str] | None = None
    password: SecretStr | None = None


class BillParams(Params):
    number: UUID
    day: date
    at: datetime
    price: Decimal
    exact: Annotated[Decimal, Field(max_digits=10, decimal_places=2)]
    colour: Colour
    lines: list[Line]
    note: str = ""


BILL = TaskType(name="test.bill", description="", params=BillParams, result=Result)
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
        self.now = 0.0
        self.looks = 0
        self.ledger = Registered(harness.engine, lease=timedelta(seconds=30), clock=lambda: self.now)
        sa.event.listen(harness.engine, "before_cursor_execute", self._count)
        self._submit = partial(
            submit,
            Children(
                Catalogue([REPORT, BILL, ECHO]),
                CIPHER,
                queues=settings.queues,
                life=settings.task_life,
                ledger=self.ledger,
            ).admit,
            partial(ledger.run_transaction, harness.engine),
            self.told,
            Hooks([self.heard]),
        )
        self._given: dict[str, Any] = {"settings": settings, "storage": storage, "sink": None, "database": None}

    def submit(
        self, *children: Child, allowed: Sequence[str] | None = None, workflow: UUID | None = None
    ) -> list[UUID]:
        (work,) = self.harness.claim(self.harness.submit())
        self.harness.execute("DELETE FROM outbox")
        self.parent = TaskContext(
            task_id=work.id, claim=work.claim, name="test.parent", attempt=1, submitter=self._submit,
            request_id="r-1", submitted_by="ci", allowed_queues=allowed, workflow_id=workflow,
            **self._given,
        )  # fmt: skip
        return self.parent.submit_many(children)

    def _count(self, *executed: Any) -> None:
        self.looks += "FROM task_type t LEFT JOIN live" in executed[2]

    def run(self, version: int, *queues: str, name: str = "other.type", queue: str = "gpu") -> UUID:
        """A live worker, of another image, that runs this type in this version on these queues."""
        declared = TaskType(name=name, description="", params=OtherParams, result=Result, queue=queue, version=version)

        def write(conn: sa.Connection) -> UUID:
            task_types.write(conn, [spec_of(declared)], Actor("worker:other"))
            worker = register(conn, queues=queues)
            task_types.write_worker(conn, worker, {name: version})
            return worker

        return UUID(str(ledger.run_transaction(self.harness.engine, write)))

    def children(self) -> dict[UUID, Any]:
        return {i: row for i, row in self.harness.rows().items() if row.parent_id is not None}


@pytest.fixture
def submitting(harness: Harness, tmp_path: Any) -> Submitting:
    return Submitting(harness, LocalStorage(tmp_path))


def test_children_are_committed_with_an_outbox_row_and_inherit_whose_they_are(submitting: Submitting) -> None:
    ids = submitting.submit(
        Child(REPORT, {"page": 2}), Child(REPORT, {}, "default", tags=["a"]), allowed=["default", "reports"]
    )
    rows = submitting.children()
    assert [(rows[i].queue, rows[i].state, rows[i].tags) for i in ids] == [
        ("reports", "queued", []),
        ("default", "queued", ["a"]),
    ]
    for row in rows.values():
        assert (row.parent_id, row.request_id, row.submitted_by) == (submitting.parent.task_id, "r-1", "ci")
        assert row.allowed_queues == ["default", "reports"]
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


def test_what_json_cannot_say_is_passed_on_as_pydantic_writes_it_and_secrets_in_it_are_sealed(
    submitting: Submitting,
) -> None:
    given: dict[str, Any] = {
        "number": UUID(int=7),
        "day": date(2026, 1, 31),
        "at": datetime(2026, 1, 31, 12, tzinfo=UTC),
        "price": Decimal("1.50"),
        "exact": Decimal("19.99"),
        "colour": Colour.RED,
        "lines": (Line(text="a", token=Secret("t0k3n"), password=SecretStr("hunter2")),),
        "note": SecretStr("to be kept"),
    }
    (child,) = submitting.submit(Child(BILL, given))
    stored = submitting.harness.rows()[child].params
    assert not any(secret in str(stored) for secret in ("t0k3n", "hunter2", "to be kept"))
    read = BILL.read(stored, CIPHER)
    assert read == BillParams(**{**given, "note": "to be kept"})
    assert str(read.price) == "1.50", "text loses nothing"
    assert read.lines[0].token == Secret("t0k3n")


@pytest.mark.parametrize("value", [object(), {b"\xff": 1}, b"\xff", float("nan"), 2**64, "\x00"])
def test_what_has_no_form_in_json_is_refused_with_its_place(submitting: Submitting, value: object) -> None:
    with pytest.raises(TaskError) as refused:
        submitting.submit(Child(REPORT, {"page": [value]}))
    assert refused.value.code == "params_invalid"
    assert "/params/page/0" in refused.value.values["reason"]


def test_parameters_have_the_bounds_that_they_have_over_http(submitting: Submitting) -> None:
    endless: list[Any] = []
    endless.append(endless)
    for value, code in [("x" * 300_000, "params_too_large"), (itertools.count(), "params_too_large"),
                        ((n for n in itertools.count()), "params_too_large"), (endless, "params_invalid")]:  # fmt: skip
        with pytest.raises(TaskError) as refused:
            submitting.submit(Child(REPORT, {"page": value}))
        assert refused.value.code == code


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
        with pytest.raises(TaskError) as refused:
            submitting.submit(Child(REPORT, params))
        assert (refused.value.code, refused.value.retryable) == ("params_invalid", False)
        assert refused.value.values["reason"].startswith(f"test.report says: At /params/{next(iter(params))}: ")
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
    with pytest.raises(TaskError):
        submitting.submit(Child(REPORT, {"page": "1"}))
    assert submitting.heard.moments == []
    submitting.submit(Child(REPORT, {}))
    submitting.heard.moments.clear()
    submitting.harness.execute("UPDATE task SET claim = gen_random_uuid() WHERE id = :id", id=submitting.parent.task_id)
    with pytest.raises(Fenced):
        submitting.parent.submit_many([Child(REPORT, {})])
    assert [moment for moment, *_ in submitting.heard.moments] == ["before"]


def refused(submitting: Submitting, child: Child, **more: Any) -> TaskError:
    with pytest.raises(TaskError) as caught:
        submitting.submit(child, **more)
    assert not caught.value.retryable
    return caught.value


def test_a_type_that_this_process_has_not_loaded_is_admitted_as_live_workers_register_it(
    submitting: Submitting,
) -> None:
    submitting.run(2, "gpu")
    stopped = submitting.run(3, "gpu")
    submitting.harness.execute("UPDATE worker SET stopped_at = now() WHERE id = :id", id=stopped)
    (child,) = submitting.submit(Child("other.type", {"n": 1, "token": "s3cr3t"}))
    row = submitting.harness.rows()[child]
    assert (row.name, row.queue, row.version, row.params["n"]) == ("other.type", "gpu", 2, 1)
    assert "s3cr3t" not in str(row.params)
    assert "/params/n: " in refused(submitting, Child("other.type", {"n": "1"})).values["reason"]


def test_a_registered_name_is_read_again_after_a_while_and_not_before(submitting: Submitting) -> None:
    submitting.run(1, "gpu")
    submitting.submit(*[Child("other.type", {"n": n}) for n in range(20)])
    assert submitting.looks == 1
    submitting.run(2, "gpu")
    (before,) = submitting.submit(Child("other.type", {"n": 1}))
    submitting.now += KNOWN_SECONDS
    (after,) = submitting.submit(Child("other.type", {"n": 1}))
    rows = submitting.harness.rows()
    assert [rows[i].version for i in (before, after)] == [1, 2]


def test_an_unknown_name_gets_a_fresh_look_at_most_once_a_second(submitting: Submitting) -> None:
    submitting.run(1, "gpu")
    error = refused(submitting, Child("other.typ", {}))
    assert (error.code, error.values) == ("unknown_task_type", {"name": "'other.typ'", "near": "other.type"})
    for name in ("other.typ", "another", "new.type"):
        assert refused(submitting, Child(name, {})).code == "unknown_task_type"
    assert submitting.looks == 1
    submitting.run(1, "gpu", name="new.type")
    submitting.now += AGAIN_SECONDS
    (child,) = submitting.submit(Child("new.type", {"n": 1}))
    assert submitting.harness.rows()[child].name == "new.type"


def test_a_loaded_type_goes_by_the_loaded_code_whatever_is_registered(submitting: Submitting) -> None:
    submitting.run(7, "reports", name="test.report", queue="gpu")
    for task_type in ("test.report", REPORT):
        (child,) = submitting.submit(Child(task_type, {"page": 1}))
        row = submitting.harness.rows()[child]
        assert (row.version, row.queue) == (1, "reports")


def test_a_queue_on_which_no_live_worker_runs_the_type_is_refused_with_those_that_do(submitting: Submitting) -> None:
    submitting.run(1, "gpu", "gpu2")
    error = refused(submitting, Child("other.type", {"n": 1}, "default"))
    assert error.code == "queue_not_served"
    assert error.values == {"name": "other.type", "queue": "'default'", "queues": "gpu, gpu2"}
    (child,) = submitting.submit(Child("other.type", {"n": 1}, "gpu2"))  # a queue that only the ledger has
    assert submitting.harness.rows()[child].queue == "gpu2"
    submitting.run(1, "default")
    submitting.now += AGAIN_SECONDS  # a worker that registered a moment ago counts
    submitting.submit(Child("other.type", {"n": 1}, "default"))


def test_in_a_rolling_update_an_older_workers_child_may_go_where_older_workers_run_its_version(
    submitting: Submitting,
) -> None:
    submitting.run(1, "reports", "default", name="test.report", queue="reports")
    submitting.run(2, "reports", name="test.report", queue="reports")
    (child,) = submitting.submit(Child(REPORT, {}, "default"))
    assert submitting.harness.rows()[child].queue == "default"


def test_children_with_the_same_key_are_stored_and_published_once_in_all_attempts(submitting: Submitting) -> None:
    first, other, again = submitting.submit(*(Child(REPORT, {"page": n}, key=k) for n, k in enumerate("aba")))
    assert first == again != other
    assert {i: row.params["page"] for i, row in submitting.children().items()} == {first: 0, other: 1}
    submitting.harness.execute("DELETE FROM outbox")

    # As in another attempt, after a crash between the commit and the mark behind it.
    ids = submitting.parent.submit_many([Child(REPORT, {"page": 9}, key=k) for k in "abc"])
    assert ids[:2] == [first, other]
    assert {row.params["page"] for row in submitting.children().values()} == {0, 1, 9}
    (row,) = submitting.harness.query("SELECT task_ids FROM outbox")
    assert row.task_ids == [ids[2]], "what was there is not queued again"


def test_the_same_key_of_another_parent_is_another_child(submitting: Submitting) -> None:
    assert submitting.submit(Child(REPORT, {}, key="a")) != submitting.submit(Child(REPORT, {}, key="a"))
    assert len(submitting.children()) == 2


def test_a_step_that_is_added_takes_no_results_by_reference(submitting: Submitting) -> None:
    added = Child(ECHO, {"value": [{"$result": "parent.value"}]}, into_workflow=True)
    with pytest.raises(ValueError, match=r"by reference: /value/0 has \$result. Give it the value itself"):
        submitting.submit(added, workflow=uuid4())
    assert not submitting.children()
    # Outside of workflows it is a value like any other.
    assert len(submitting.submit(Child(ECHO, {"value": {"$result": "x"}}))) == 1

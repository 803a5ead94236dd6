"""The writes of a worker, without a worker: claims, notes, ends."""

from dataclasses import dataclass, field
from uuid import UUID, uuid4

from sqlalchemy import Engine

from taskyard.domain.failures import Cause
from taskyard.domain.ids import new_id
from taskyard.domain.tasks import Failed, Fault, Outcome, Succeeded
from taskyard.lifecycle import claim as claiming
from taskyard.lifecycle.finish import Finished, finish
from taskyard.lifecycle.progress import Note, Progress, annotate, progress
from taskyard.lifecycle.rescue import Guilt, Lost, lose
from taskyard.lifecycle.workers import register
from tests.support.ledger import worker_info

_SELECTION = ("selection.load_gsheet", "selection.run_select", "selection.manage_old_tabs")
TYPES = dict.fromkeys(("diagnostics.echo", "email.send", "geo.convert_to_raster", "tests.voucher", *_SELECTION), 1)
FAULT = Fault("boom", "It went wrong.", "ValueError", retryable=True, traceback="Traceback: secret place")


@dataclass
class Worker:
    engine: Engine
    id: UUID = field(default_factory=new_id)
    claims: dict[UUID, UUID] = field(default_factory=dict)

    def __post_init__(self) -> None:
        info = worker_info(id=self.id)
        with self.engine.connect() as conn:
            register(conn, info)

    def begin(self, task_id: str) -> UUID:
        found, claim = UUID(task_id), uuid4()
        with self.engine.connect() as conn:
            won = claiming.claim(
                conn, [found], claim=claim, worker_id=self.id, worker="w:0", types=TYPES, apart=True
            ).answer
        assert [c.id for c in won] == [found]
        self.claims[found] = claim
        return found

    def note(self, task_id: str, message: str, kind: str = "log") -> None:
        found = UUID(task_id)
        with self.engine.connect() as conn:
            annotate(conn, [Note(found, self.claims[found], kind, {"message": message})])

    def progress(self, task_id: str, current: float, total: float | None, message: str = "") -> None:
        found = UUID(task_id)
        with self.engine.connect() as conn:
            progress(conn, [Progress(found, self.claims[found], current, total, message)])

    def end(self, task_id: str, outcome: Outcome | None = None) -> None:
        found = UUID(task_id)
        outcome = outcome or Succeeded({"value": 1})
        with self.engine.connect() as conn:
            done = finish(conn, [Finished(found, self.claims[found], outcome, run_seconds=0.1)])
        assert done.changes

    def fail(self, task_id: str) -> None:
        self.end(task_id, Failed(FAULT))

    def crash(self, task_id: str, *, limit: int = 3) -> None:
        found = UUID(task_id)
        with self.engine.connect() as conn:
            cause = Cause("signal", {"signal": "9 (SIGKILL)"})
            lose(conn, [Lost(found, self.claims[found], Guilt.GUILTY, cause)], crash_limit=limit)

"""The stack that is commonly built by hand: FastAPI takes the request, a row of PostgreSQL records the task, Celery
runs it. The row is written at the submit, at the start and at the end, each with a commit."""

import os
from datetime import UTC, datetime
from uuid import UUID, uuid4

from celery import Celery
from fastapi import FastAPI
from pydantic import BaseModel
from sqlalchemy import JSON, DateTime, String, create_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

REDIS = os.environ["BENCH_REDIS_URL"]

engine = create_engine(os.environ["BENCH_DATABASE_URL"], pool_size=40)
worker = Celery("handbuilt", broker=REDIS, backend=REDIS)
worker.conf.update(task_acks_late=True, task_reject_on_worker_lost=True, broker_connection_retry_on_startup=True)
app = FastAPI()


class Base(DeclarativeBase):
    """Of the tables."""


class TaskRecord(Base):
    """What became of a task."""

    __tablename__ = "task_record"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    name: Mapped[str] = mapped_column(String(200))
    params: Mapped[dict[str, object]] = mapped_column(JSON)
    state: Mapped[str] = mapped_column(String(20), default="queued", index=True)
    result: Mapped[dict[str, object] | None] = mapped_column(JSON)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), default=lambda: datetime.now(UTC))
    started_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    finished_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


class Submit(BaseModel):
    """The body of a request."""

    name: str
    params: dict[str, object]


@app.post("/tasks", status_code=202)
def submit(wish: Submit) -> dict[str, str]:
    """Records the task, then enqueues it."""
    with Session(engine) as session:
        record = TaskRecord(name=wish.name, params=wish.params)
        session.add(record)
        session.commit()
        task_id = str(record.id)
    echo.delay(task_id)
    return {"id": task_id, "state": "queued"}


@worker.task
def echo(task_id: str) -> None:
    """Does nothing between its start and its end."""
    with Session(engine) as session:
        record = session.get_one(TaskRecord, UUID(task_id))
        record.state, record.started_at = "running", datetime.now(UTC)
        session.commit()
        record.state, record.finished_at, record.result = "succeeded", datetime.now(UTC), {"value": 1}
        session.commit()


if __name__ == "__main__":
    Base.metadata.drop_all(engine)
    Base.metadata.create_all(engine)

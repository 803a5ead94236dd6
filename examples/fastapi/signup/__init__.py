"""Sign up, get a mail: the mail is a task, and the browser can follow it."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Annotated
from uuid import NAMESPACE_URL, UUID, uuid5

from fastapi import Depends, FastAPI, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse
from pydantic import BaseModel

from taskyard_client import ApiAway, ApiRefused, AsyncClient, Task, passing_on


class SignUp(BaseModel):
    to_email: str
    username: str


class Accepted(BaseModel):
    task_id: UUID


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """One client for the application's life: its connections are kept."""
    async with AsyncClient(os.environ["TASKYARD_URL"], os.environ["TASKYARD_API_KEY"]) as client:
        app.state.tasks = client
        yield


def tasks_of(request: Request) -> AsyncClient:
    return request.app.state.tasks


Tasks = Annotated[AsyncClient, Depends(tasks_of)]

app = FastAPI(lifespan=lifespan)


@app.middleware("http")
async def pass_on(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
    """The ids of the request stand in the logs of its tasks, too."""
    headers = request.headers
    with passing_on(request_id=headers.get("X-Request-ID"), traceparent=headers.get("traceparent")):
        return await call_next(request)


@app.exception_handler(ApiAway)
async def away(request: Request, error: ApiAway) -> JSONResponse:
    return JSONResponse({"detail": "Please try again in a moment."}, 503, {"Retry-After": "5"})


@app.exception_handler(ApiRefused)
async def refused(request: Request, error: ApiRefused) -> JSONResponse:
    status = error.status if error.status in {404, 409, 422} else 500
    return JSONResponse({"detail": error.args[0], "errors": error.errors}, status)


@app.post("/sign-up", status_code=202)
async def sign_up(body: SignUp, tasks: Tasks) -> Accepted:
    # A second click gets the first mail's task.
    once = uuid5(NAMESPACE_URL, f"welcome {body.to_email}")
    task = await tasks.submit("email.send_welcome", body, idempotency_key=str(once))
    return Accepted(task_id=task.id)


@app.get("/tasks/{task_id}")
async def read(task_id: UUID, tasks: Tasks, wait: float = 0) -> Task:
    return await tasks.task(task_id, wait_seconds=wait)


@app.get("/tasks/{task_id}/events")
async def follow(task_id: UUID, tasks: Tasks) -> StreamingResponse:
    await tasks.task(task_id)  # 404 before the stream begins

    async def lines() -> AsyncIterator[str]:
        async for event in tasks.events(task_id):
            yield f"event: {event.kind}\ndata: {event.model_dump_json()}\n\n"
        yield "event: end\ndata: {}\n\n"  # the page closes the stream: browsers reconnect otherwise

    return StreamingResponse(lines(), media_type="text/event-stream")

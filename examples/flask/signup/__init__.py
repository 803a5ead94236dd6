"""Sign up, get a mail: the mail is a task, and the browser can follow it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

from flask import Flask, Response, current_app, g, request

from taskyard_client import ApiAway, ApiRefused, Client, passing_on


def tasks() -> Client:
    client: Client = current_app.extensions["taskyard"]
    return client


def create_app() -> Flask:
    app = Flask(__name__)
    # One client for all threads; a worker process that is forked later opens connections of its own.
    app.extensions["taskyard"] = Client(os.environ["TASKYARD_URL"], os.environ["TASKYARD_API_KEY"])

    @app.before_request
    def pass_on() -> None:
        """The ids of the request stand in the logs of its tasks, too."""
        headers = request.headers
        g.passing_on = ExitStack()
        g.passing_on.enter_context(
            passing_on(request_id=headers.get("X-Request-ID"), traceparent=headers.get("traceparent"))
        )

    @app.teardown_request
    def end(error: BaseException | None) -> None:
        g.passing_on.close()

    @app.errorhandler(ApiAway)
    def away(error: ApiAway) -> tuple[dict[str, Any], int, dict[str, str]]:
        return {"detail": "Please try again in a moment."}, 503, {"Retry-After": "5"}

    @app.errorhandler(ApiRefused)
    def refused(error: ApiRefused) -> tuple[dict[str, Any], int]:
        status = error.status if error.status in {404, 409, 422} else 500
        return {"detail": error.args[0], "errors": error.errors}, status

    @app.post("/sign-up")
    def sign_up() -> tuple[dict[str, Any], int]:
        body = request.get_json()
        # A second click gets the first mail's task.
        once = uuid5(NAMESPACE_URL, f"welcome {body.get('to_email')}")
        task = tasks().submit("email.send_welcome", body, idempotency_key=str(once))
        return {"task_id": str(task.id)}, 202

    @app.get("/tasks/<uuid:task_id>")
    def read(task_id: UUID) -> dict[str, Any]:
        return tasks().task(task_id, wait_seconds=request.args.get("wait", 0, float)).as_sent()

    @app.get("/tasks/<uuid:task_id>/events")
    def follow(task_id: UUID) -> Response:
        client = tasks()
        client.task(task_id)  # 404 before the stream begins

        def lines() -> Iterator[str]:
            for event in client.events(task_id):
                yield f"event: {event.kind}\ndata: {event.model_dump_json()}\n\n"
            yield "event: end\ndata: {}\n\n"  # the page closes the stream: browsers reconnect otherwise

        return Response(lines(), mimetype="text/event-stream")

    return app

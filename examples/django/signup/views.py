from __future__ import annotations

import json
from collections.abc import Iterator
from uuid import NAMESPACE_URL, UUID, uuid5

from django.http import HttpRequest, JsonResponse, StreamingHttpResponse
from django.views.decorators.http import require_GET, require_POST

from .tasks import tasks


@require_POST
def sign_up(request: HttpRequest) -> JsonResponse:
    body = json.loads(request.body)
    # A second click gets the first mail's task.
    once = uuid5(NAMESPACE_URL, f"welcome {body.get('to_email')}")
    task = tasks().submit("email.send_welcome", body, idempotency_key=str(once))
    return JsonResponse({"task_id": task.id}, status=202)


@require_GET
def read(request: HttpRequest, task_id: UUID) -> JsonResponse:
    return JsonResponse(tasks().task(task_id, wait_seconds=float(request.GET.get("wait", 0))).as_sent())


@require_GET
def follow(request: HttpRequest, task_id: UUID) -> StreamingHttpResponse:
    tasks().task(task_id)  # 404 before the stream begins

    def lines() -> Iterator[str]:
        for event in tasks().events(task_id):
            yield f"event: {event.kind}\ndata: {event.model_dump_json()}\n\n"
        yield "event: end\ndata: {}\n\n"  # the page closes the stream: browsers reconnect otherwise

    return StreamingHttpResponse(lines(), content_type="text/event-stream")

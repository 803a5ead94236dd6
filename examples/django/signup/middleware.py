from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse, JsonResponse

from taskyard_client import ApiAway, ApiRefused, passing_on


class TaskyardMiddleware:
    """The ids of a request stand in the logs of its tasks, too; and what the API refuses becomes an answer."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        headers = request.headers
        with passing_on(request_id=headers.get("X-Request-ID"), traceparent=headers.get("traceparent")):
            return self._get_response(request)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        if isinstance(error, ApiAway):
            return JsonResponse({"detail": "Please try again in a moment."}, status=503, headers={"Retry-After": "5"})
        if isinstance(error, ApiRefused):
            status = error.status if error.status in {404, 409, 422} else 500
            return JsonResponse({"detail": error.args[0], "errors": error.errors}, status=status)
        return None

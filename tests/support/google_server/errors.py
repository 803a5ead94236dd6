"""Bodies of errors: https://cloud.google.com/apis/design/errors, and of Drive with its reasons."""

from __future__ import annotations

from typing import Any

_STATUS = {
    400: ("INVALID_ARGUMENT", "Request contains an invalid argument."),
    401: (
        "UNAUTHENTICATED",
        "Request had invalid authentication credentials. Expected OAuth 2 access token.",
    ),
    403: ("PERMISSION_DENIED", "The caller does not have permission"),
    404: ("NOT_FOUND", "Requested entity was not found."),
    429: ("RESOURCE_EXHAUSTED", "Quota exceeded for quota metric 'Read requests' and limit 'Read requests per minute'"),
    500: ("INTERNAL", "Internal error encountered."),
    503: ("UNAVAILABLE", "The service is currently unavailable."),
}


def body(code: int, message: str = "", *, status: str = "", reason: str = "") -> dict[str, Any]:
    known_status, known_message = _STATUS[code]
    error: dict[str, Any] = {"code": code, "message": message or known_message, "status": status or known_status}
    if reason:
        error["details"] = [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason}]
    return {"error": error}


def of_drive(code: int, reason: str, message: str) -> dict[str, Any]:
    entry = {"message": message, "domain": "global", "reason": reason}
    return {"error": {"code": code, "message": message, "errors": [entry]}}

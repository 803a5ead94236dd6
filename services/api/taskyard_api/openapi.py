"""The OpenAPI 3.1 document, made from the declarations of the handlers and from the models that validate."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Any, cast

import falcon.asgi
import orjson
from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from taskyard.store.users import MAX_USER_ID
from taskyard.version import __version__

from . import answers
from .operations import AUDITED, EVENT_STREAM, JSON, Answer, Operation, operations_of
from .problems import MEDIA_TYPE, TITLES
from .translation import READERS_LANGUAGE

PATH = "/openapi.json"

_REF = "#/components/schemas/{model}"
_VARIABLE = re.compile(r"\{(\w+)\}")
_SECURITY = "key"
_ABOUT = """Background tasks: submitted, watched, cancelled, retried.

Each call names the scope that its key needs; `admin` includes the others, which do not include each other. What is
stored (parameters, results, errors, files) is shown with the scope `read` only. A key that is restricted to queues sees
what is in them, and its own tree items, users and usage: all else is 404.

Wherever GET is answered, HEAD is, with the same status and headers. Before a call is looked at, bytes that are not HTTP
are refused with 400, and a head above 64 KiB with 431."""
_WITHOUT_BODY = frozenset({204, 304})
_RETRY_AFTER = frozenset({429, 503})
_USER_ID = {"type": "integer", "minimum": 1, "maximum": MAX_USER_ID}


def document(routes: Mapping[str, type]) -> dict[str, Any]:
    """`routes`: path templates and their resources."""
    declared = [
        (path, method, op) for path, resource in routes.items() for method, op in operations_of(resource).items()
    ]
    schemas, components = _schemas([op for _, _, op in declared])
    paths: dict[str, dict[str, Any]] = {}
    for path, method, op in declared:
        paths.setdefault(path, {})[method.lower()] = _operation(path, method, op, schemas, components)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Taskyard",
            "version": __version__,
            "description": _ABOUT,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {_SECURITY: {"type": "http", "scheme": "bearer", "description": "An API key: ty_..."}},
        },
    }


_Schemas = Mapping[tuple[type[BaseModel], JsonSchemaMode], dict[str, Any]]


def _schemas(operations: list[Operation]) -> tuple[_Schemas, dict[str, Any]]:
    wanted: list[tuple[type[BaseModel], JsonSchemaMode]] = [(answers.ProblemDocument, "serialization")]
    for op in operations:
        if op.body is not None:
            wanted.append((op.body, "validation"))
        if op.query is not None:
            wanted.append((op.query, "validation"))
        models = (model for a in op.answers.values() for model in (a.model, a.without_read))
        wanted.extend((model, "serialization") for model in models if model is not None)
    made, definitions = models_json_schema(list(dict.fromkeys(wanted)), ref_template=_REF)
    return cast("_Schemas", made), definitions["$defs"]


def _operation(path: str, method: str, op: Operation, schemas: _Schemas, components: dict[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = {
        "operationId": _operation_id(path, method),
        "summary": op.summary,
        "tags": [path.removeprefix("/api/v1").strip("/").partition("/")[0]],
        "parameters": list(_parameters(path, op, schemas, components)),
        "responses": _responses(op, schemas),
        "security": [{_SECURITY: []}] if op.needs_key else [],
    }
    if op.description or op.scope:
        scope = f"Scope: `{op.scope}`." if op.scope else ""
        made["description"] = f"{op.description} {scope}".strip()
    if op.body is not None:
        schema = schemas[op.body, "validation"]
        made["requestBody"] = {"required": not op.is_body_optional, "content": {JSON: {"schema": schema}}}
    if op.files:
        made["requestBody"] = _FILE
    return made


_FILE = {
    "required": True,
    "content": {
        "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "properties": {"file": {"type": "string", "format": "binary"}},
                "required": ["file"],
                "additionalProperties": False,
            }
        },
    },
}


def _operation_id(path: str, method: str) -> str:
    words = re.sub(r"[^a-z0-9]+", "_", _VARIABLE.sub(r"by_\1", path.removeprefix("/api/v1").lower()))
    return f"{method.lower()}_{words.strip('_')}"


def _parameters(path: str, op: Operation, schemas: _Schemas, components: dict[str, Any]) -> Any:
    for name in _VARIABLE.findall(path):
        schema: dict[str, Any] = {"type": "string", "minLength": 1}
        if name.endswith("_id"):
            schema = _USER_ID if name == "user_id" else {"type": "string", "format": "uuid"}
        yield {"name": name, "in": "path", "required": True, "schema": schema}
    if op.query is not None:
        reference = schemas[op.query, "validation"]["$ref"].rpartition("/")[2]
        for name, schema in components[reference].get("properties", {}).items():
            yield _query_parameter(name, schema)
    for name, description in (op.headers or {}).items():
        yield _header(name, description, {"type": "string"})
    yield _header("Accept-Language", READERS_LANGUAGE, {"type": "string"})
    yield _header("X-Request-ID", "Taken for this request's id; otherwise one is made.", {"type": "string"})
    yield _header("traceparent", "The caller's trace (W3C Trace Context); otherwise one is begun.", {"type": "string"})
    if op.scope in AUDITED:
        yield _header(
            "X-On-Behalf-Of", _PERSON, {"type": "string", "pattern": f"^{_CHAR}(({_CHAR}| ){{0,126}}{_CHAR})?$"}
        )
    if op.keyed:
        schema = {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]([ -~]*[!-~])?$"}
        yield _header("Idempotency-Key", "Sent again with the same body: the first answer again.", schema)


_PERSON = (
    "The person whom the key is used for: recorded in the audit log, gives no rights. Up to 128 printable characters,"
    " in percent-encoded UTF-8."
)
# Of ASCII; the encoding of others is beyond a pattern.
_CHAR = "([!-$&-~]|%[2-6][0-9A-Fa-f]|%7[0-9A-Ea-e])"


def _query_parameter(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    described = {key: value for key, value in schema.items() if key not in {"title", "default", "description"}}
    if "anyOf" in described:  # a parameter is left out rather than null
        options = [option for option in described.pop("anyOf") if option != {"type": "null"}]
        described |= options[0]
    if schema.get("default") is not None:
        described["default"] = schema["default"]
    made: dict[str, Any] = {"name": name, "in": "query", "required": False, "schema": described}
    if "description" in schema:
        made["description"] = schema["description"]
    if described.get("type") == "array":
        made |= {"style": "form", "explode": False}
    return made


def _header(name: str, description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "in": "header", "required": False, "description": description, "schema": schema}


def _sent(description: str) -> dict[str, Any]:
    return {"schema": {"type": "string"}, "description": description}


_ALWAYS_SENT = {
    "X-Request-ID": _sent("Also in every log line."),
    "traceparent": _sent("The trace of this request (W3C Trace Context)."),
}
_OF_PROBLEMS = {"Content-Language": _sent("The language of its words."), "Vary": _sent("Accept-Language, too.")}
_REPLAYED = _sent("`true` where this is the answer that the first request with this Idempotency-Key got.")


def _text(answer: Answer) -> dict[str, Any]:
    """OpenAPI 3.1 has no form for streams: what their events are is told in words."""
    if not answer.events:
        return {"type": "string"}
    words = f"Server-sent events, and a comment as heartbeat. {answer.events}"
    return {"type": "string", "contentMediaType": EVENT_STREAM, "description": words}


def _responses(op: Operation, schemas: _Schemas) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for status, answer in op.answers.items():
        response: dict[str, Any] = {"description": answer.description, "headers": dict(_ALWAYS_SENT)}
        for name in answer.headers:
            response["headers"][name] = {"schema": {"type": "string"}}
        if op.keyed:
            response["headers"]["Idempotency-Replayed"] = _REPLAYED
        if answer.model is not None:
            schema = schemas[answer.model, "serialization"]
            if answer.without_read is not None:
                response["description"] += " Keys without the scope `read` get the shorter form."
                schema = {"oneOf": [schema, schemas[answer.without_read, "serialization"]]}
            response["content"] = {answer.media_type: {"schema": schema}}
        elif answer.media_type == "application/octet-stream":
            response["content"] = {"*/*": {}}
        elif status not in _WITHOUT_BODY:
            response["content"] = {answer.media_type: {"schema": _text(answer)}}
        if answer.also:
            response["content"][answer.also] = {"schema": _text(answer)}
        made[str(status)] = response
    problem = schemas[answers.ProblemDocument, "serialization"]
    for status in sorted(op.problems):
        headers = _ALWAYS_SENT | _OF_PROBLEMS
        if status == 401:
            headers["WWW-Authenticate"] = _sent("The scheme: Bearer.")
        if status in _RETRY_AFTER:
            headers["Retry-After"] = _sent("Seconds.")
        made[str(status)] = {
            "description": TITLES[status],
            "headers": headers,
            "content": {MEDIA_TYPE: {"schema": problem}},
        }
    return made


@cache  # of the same routes there is one
def _rendered(routes: tuple[tuple[str, type], ...]) -> bytes:
    return orjson.dumps(document(dict(routes)), option=orjson.OPT_INDENT_2)


class OpenApi:
    """GET /openapi.json."""

    def __init__(self, routes: Mapping[str, type]) -> None:
        self._document = _rendered(tuple(routes.items()))

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        resp.content_type = "application/json"
        resp.data = self._document

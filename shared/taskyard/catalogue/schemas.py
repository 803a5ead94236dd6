"""JSON Schemas, compiled: bounded in size, in the time that validating takes, and in what they may refer to."""

from __future__ import annotations

from typing import Any

import jsonschema_rs
import orjson

from .subschemas import SchemaRefused, subschemas

__all__ = ["MAX_SCHEMA_BYTES", "SchemaRefused", "check_schema"]

MAX_SCHEMA_BYTES = 64 * 1024


def check_schema(schema: Any) -> None:
    """Raises SchemaRefused for a schema that the platform does not take."""
    try:
        text = orjson.dumps(schema)
    except (TypeError, ValueError):
        raise SchemaRefused("a schema is JSON, and this is not") from None
    if len(text) > MAX_SCHEMA_BYTES:
        raise SchemaRefused(f"a schema has at most {MAX_SCHEMA_BYTES} bytes as JSON")
    subschemas(schema)
    try:
        jsonschema_rs.Draft202012Validator(schema, offline=True)
    except ValueError as e:
        raise SchemaRefused(str(e)[:200]) from None

"""JSON Schemas of Pydantic models, written so that what they accept the model accepts.

Pydantic's own generator leaves gaps: a decimal as text has no bounds, `int` accepts 1e308 by schema and not by
the model, and a URL's schemes are not told.
"""

from __future__ import annotations

import math
from typing import Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

_LOWEST, _HIGHEST = -(2**63), 2**63 - 1


class SpecSchema(GenerateJsonSchema):
    """For `model_json_schema(schema_generator=SpecSchema)`."""

    def int_schema(self, schema: core_schema.IntSchema) -> JsonSchemaValue:
        """Bounded by 64 bits: beyond them the model refuses floats such as 1e308, which JSON Schema calls integers."""
        made = super().int_schema(schema)
        if self.mode == "validation":
            if not {"minimum", "exclusiveMinimum"} & made.keys():
                made["minimum"] = _LOWEST
            if not {"maximum", "exclusiveMaximum"} & made.keys():
                made["maximum"] = _HIGHEST
        return made

    def float_schema(self, schema: core_schema.FloatSchema) -> JsonSchemaValue:
        made = super().float_schema(schema)
        return {key: value for key, value in made.items() if not (isinstance(value, float) and math.isnan(value))}

    def decimal_schema(self, schema: core_schema.DecimalSchema) -> JsonSchemaValue:
        """A number, or a decimal number as text where a pattern can hold text to the bounds."""
        if self.mode != "validation":
            return {"type": "string", "format": "decimal"}
        made = super().decimal_schema(schema)
        number: dict[str, Any] = made["anyOf"][0] if "anyOf" in made else {"type": "number"}
        places, digits = schema.get("decimal_places"), schema.get("max_digits")
        if places is not None and "multipleOf" not in number:
            number["multipleOf"] = 10.0**-places if places else 1
        if digits is not None:
            limit = 10 ** (digits - (places or 0))
            if limit <= number.get("maximum", math.inf):
                number["exclusiveMaximum"] = min(limit, number.get("exclusiveMaximum", limit))
            if -limit >= number.get("minimum", -math.inf):
                number["exclusiveMinimum"] = max(-limit, number.get("exclusiveMinimum", -limit))
        text = _decimal_text(schema)
        return number if text is None else {"anyOf": [number, text]}

    def url_schema(self, schema: core_schema.UrlSchema) -> JsonSchemaValue:
        """`http-url` where only http and https are allowed; other schemes by pattern."""
        made = super().url_schema(schema)
        schemes = schema.get("allowed_schemes")
        if schemes and set(schemes) <= {"http", "https"}:
            made["format"] = "http-url"
            if len(schemes) == 1:
                made["pattern"] = f"^[Hh][Tt][Tt][Pp]{'[Ss]' if schemes[0] == 'https' else ''}:"
        elif schemes:
            made["pattern"] = f"^({'|'.join(sorted(schemes))}):"
        return made


def _decimal_text(schema: core_schema.DecimalSchema) -> dict[str, Any] | None:
    """Decimal numbers as text that the bounds allow; None where a pattern cannot say the bounds."""
    if any(schema.get(bound) is not None for bound in ("le", "lt", "multiple_of")):
        return None
    places, digits = schema.get("decimal_places"), schema.get("max_digits")
    lowest, above = schema.get("ge"), schema.get("gt")
    if lowest not in {None, 0} or above not in {None, 0} or (digits is not None and digits == places):
        return None
    made: dict[str, Any] = {"type": "string", "format": "decimal"}
    sign = "[+-]?" if lowest is None and above is None else "[+]?"
    if digits is not None and places is None:
        made["maxLength"] = digits
    whole = f"[0-9]{{1,{digits - places}}}" if digits is not None and places is not None else "[0-9]+"
    if places is not None:
        made["pattern"] = f"^{sign}{whole}(\\.[0-9]{{0,{places}}})?$"
    elif sign == "[+]?":
        made["pattern"] = "^[^-]"
    if above is not None:
        made["allOf"] = [{"pattern": "[1-9]"}]
    return made

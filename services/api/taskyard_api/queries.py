"""Query parameters, validated by models."""

from __future__ import annotations

from typing import TypeVar

from pydantic import ValidationError

from .bodies import faults_of
from .models import Query
from .refusals import Fault, Invalid
from .requests import Request

Q = TypeVar("Q", bound=Query)


def query_of(model: type[Q], req: Request) -> Q:
    """Raises Invalid; a fault's pointer is `?name`."""
    if not req.query_string:
        return model()
    given: dict[str, object] = {}
    for name, value in req.params.items():
        if isinstance(value, list):
            raise Invalid([Fault(f"?{name}", "Give it once.")])
        if "\x00" in value or "\ufffd" in value:
            raise Invalid([Fault(f"?{name}", "This is not text in UTF-8 that can be stored.")])
        given[name] = value
    try:
        return model.model_validate(given)
    except ValidationError as e:
        faults = [Fault("?" + f.pointer.removeprefix("/").partition("/")[0], f.message) for f in faults_of(e)]
        raise Invalid(faults) from None

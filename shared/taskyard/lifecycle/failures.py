"""Failures that SQL records, as its expressions: code, values, and the English sentence of that time."""

from __future__ import annotations

import re
from collections.abc import Mapping

from ..domain.failures import SENTENCES
from ..domain.tasks import FailureKind


def failure_sql(
    code: str,
    *,
    error_type: str,
    kind: FailureKind,
    retryable: bool,
    values: Mapping[str, str],
    attempt: str,
    english: Mapping[str, str] | None = None,
) -> str:
    """A jsonb expression of the `error` of a task. `values` and `attempt` are SQL expressions, and `english` are those
    of values that are phrases, for the sentence."""
    names = re.findall(r"\{(\w+)\}", SENTENCES[code])
    template = re.sub(r"\{\w+\}", "%s", SENTENCES[code].replace("%", "%%").replace("'", "''"))
    given = ", ".join(f"'{name}', {expression}" for name, expression in values.items())
    said = ", ".join({**values, **(english or {})}[name] for name in names)
    return (
        f"jsonb_build_object('code', '{code}', 'type', '{error_type}', 'kind', '{kind}',"
        f" 'retryable', {str(retryable).lower()}, 'attempt', {attempt},"
        f" 'values', jsonb_build_object({given}), 'message', format('{template}', {said}))"
    )

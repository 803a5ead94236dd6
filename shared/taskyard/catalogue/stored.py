"""Specs as the ledger stores them: a row may hold whatever a worker's account can write."""

from __future__ import annotations

import orjson

from .spec import MAX_SPEC_BYTES, SpecRefused, TaskSpec

# jsonb writes 1e308 in full, so the text of a spec in the ledger may be longer than what was registered.
MAX_STORED_BYTES = 64 * MAX_SPEC_BYTES


def spec_in(name: str, version: int, stored: str | None) -> TaskSpec:
    """The spec of a row. Raises SpecRefused for what another release or no worker of ours wrote."""
    if stored is None:
        raise SpecRefused(f"it has more than {MAX_STORED_BYTES} bytes")
    try:
        spec = TaskSpec.parse(orjson.loads(stored))
    except orjson.JSONDecodeError as e:  # jsonb may be nested more deeply, and its numbers be larger
        raise SpecRefused(f"it cannot be decoded: {e}") from None
    if (spec.name, spec.version) != (name, version):
        raise SpecRefused("it is the spec of another type or version")
    return spec

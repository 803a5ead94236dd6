"""A child's report of its task types, to its supervisor, which registers them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

import structlog

from taskyard.catalogue.kit import Kit
from taskyard.catalogue.spec import SpecRefused, TaskSpec, spec_of
from taskyard.catalogue.types import Catalogue

from ..control import MAX_TYPES, Control

# Of the specs in one event; a single spec may be longer.
_CHUNK_CHARACTERS = 64 * 1024
_MAX_TOLD = 100  # refused types that the supervisor is told of: this is one line as well
_ANSWER_SECONDS = 30.0

log = structlog.stdlib.get_logger(__name__)


def specs_of(catalogue: Catalogue, kits: Mapping[str, Kit]) -> tuple[list[TaskSpec], dict[str, str]]:
    """The specs of these types, and why some of them cannot be registered, by name."""
    specs: list[TaskSpec] = []
    refused: dict[str, str] = {}
    for task_type in catalogue:
        if len(specs) == MAX_TYPES:
            refused[task_type.name] = f"a worker registers at most {MAX_TYPES} task types"
            continue
        try:
            specs.append(spec_of(task_type, kit=kits.get(task_type.name)))
        except SpecRefused as e:
            refused[task_type.name] = e.reason
        except Exception as e:  # noqa: BLE001 - a model's own code may take part in making its schema
            refused[task_type.name] = f"its schema cannot be made: {type(e).__name__}: {e}"
    return specs, refused


def report(control: Control, catalogue: Catalogue, kits: Mapping[str, Kit] = MappingProxyType({})) -> Catalogue:
    """Tells the supervisor about all types; returns those that may be claimed. `kits`: by the names of their types."""
    specs, refused = specs_of(catalogue, kits)
    for chunk in _chunks(specs):
        control.send(event="types", specs=chunk)
    told = {name: why[:500] for name, why in sorted(refused.items())[:_MAX_TOLD]}
    control.send(event="types", specs=[], refused=told, last=True)
    answer = control.expect("types", _ANSWER_SECONDS)
    if answer is None:
        # A supervisor of a release without this answer, after an update in place. What it would have refused is not
        # registered; to claim it does no harm.
        log.warning("types_unanswered", seconds=_ANSWER_SECONDS)
        answer = {"refused": []}
    left_out = {*refused, *answer["refused"]}
    return Catalogue(t for t in catalogue if t.name not in left_out) if left_out else catalogue


def _chunks(specs: list[TaskSpec]) -> Iterator[list[dict[str, Any]]]:
    chunk: list[dict[str, Any]] = []
    size = 0
    for spec in specs:
        data = spec.as_json()
        length = len(json.dumps(data))
        if chunk and size + length > _CHUNK_CHARACTERS:
            yield chunk
            chunk, size = [], 0
        chunk.append(data)
        size += length
    if chunk:
        yield chunk

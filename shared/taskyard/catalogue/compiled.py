"""CompiledSpec: a spec with its schema, defaults and secret places ready for admission."""

from __future__ import annotations

from dataclasses import dataclass

from .defaults import Defaults
from .schemas import Schema, compile_schema
from .secret_places import SecretPlaces
from .spec import TaskSpec


@dataclass(frozen=True, slots=True)
class CompiledSpec:
    """Made by `compile_spec`; shared by threads, never changed."""

    spec: TaskSpec
    params: Schema
    defaults: Defaults
    secrets: SecretPlaces
    # What every admission reads, a field away.
    name: str
    version: int
    queue: str
    max_attempts: int
    soft_seconds: float
    hard_seconds: float


def compile_spec(spec: TaskSpec) -> CompiledSpec:
    """Takes up to some tenths of a second for a large schema: keep it off event loops. Raises SchemaRefused."""
    schema = compile_schema(spec.params)
    secrets = SecretPlaces(schema.parts)
    return CompiledSpec(
        spec=spec,
        params=schema,
        defaults=Defaults(schema.parts, secrets.holds_secret),
        secrets=secrets,
        name=spec.name,
        version=spec.version,
        queue=spec.queue,
        max_attempts=spec.retry.max_attempts,
        soft_seconds=spec.soft_timeout_seconds,
        hard_seconds=spec.hard_timeout_seconds,
    )

"""The dashboards of Grafana. `make dashboards` writes them as JSON, which is committed: docs/dashboards.md."""

from __future__ import annotations

from pathlib import Path

from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

from .api import api
from .overview import overview
from .queues import queues
from .scheduler import scheduler
from .task_types import task_types

DIRECTORY = Path(__file__).parents[1] / "grafana/dashboards"


def dashboards() -> list[Dashboard]:
    """In the order in which a person on call goes through them."""
    return [overview(), queues(), task_types(), scheduler(), api()]


def files() -> dict[str, str]:
    """Names and texts. A name is the dashboard's uid."""
    encoder = JSONEncoder(indent=2, ensure_ascii=False)
    return {f"{made.uid}.json": encoder.encode(made) + "\n" for made in dashboards()}

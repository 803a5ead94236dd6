"""Selection runs as callers of the API have them, and their tasks as they go."""

from __future__ import annotations

from typing import Any

import httpx
import sqlalchemy as sa

from taskyard.store.selection_runs import Kind
from taskyard_api import selection_run_models as models
from tests.integration.api.conftest import Api
from tests.support.selection_specs import BODIES

PATH = "/api/v1/selection-runs"
SELECT = {"kind": "run_select", **BODIES[Kind.RUN_SELECT]}


def start(client: httpx.Client, body: dict[str, Any] = SELECT, **more: Any) -> str:
    answer = client.post(PATH, json={**body, **more})
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


def read(api: Api, run: str, **headers: str) -> dict[str, Any]:
    answer = api.http.get(f"{PATH}/{run}", headers=headers)
    assert answer.status_code == 200, answer.text
    models.SelectionRun.model_validate_json(answer.content)
    return dict(answer.json())


def ids(api: Api, **query: Any) -> list[str]:
    answer = api.http.get(PATH, params=query)
    assert answer.status_code == 200, answer.text
    models.SelectionRunPage.model_validate_json(answer.content)
    return [run["id"] for run in answer.json()["items"]]


_REMOVE = sa.text("""
WITH gone AS (DELETE FROM task WHERE id = ANY(CAST(:ids AS uuid[])) RETURNING id),
    attempts AS (DELETE FROM task_attempt WHERE task_id IN (SELECT id FROM gone)),
    events AS (DELETE FROM task_event WHERE task_id IN (SELECT id FROM gone)),
    progress AS (DELETE FROM task_progress WHERE task_id IN (SELECT id FROM gone))
SELECT count(*) FROM gone
""")


def remove_tasks(api: Api, *runs: str) -> None:
    """In one statement with all that belongs to them, as an archive does it; another schema comes first in the path of
    its session, with a table that is not meant."""
    with api.engine.begin() as conn:
        conn.execute(sa.text("CREATE TEMPORARY TABLE selection_run (LIKE selection_run) ON COMMIT DROP"))
        assert conn.execute(_REMOVE, {"ids": [*runs]}).scalar_one() == len(runs)

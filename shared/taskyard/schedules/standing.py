"""Standing schedules: those that task types declare. Each is made once, and then is people's."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

import sqlalchemy as sa
import structlog
from pydantic import ValidationError
from sqlalchemy import Connection

from ..admission.admit import admit
from ..admission.invalid import Invalid
from ..admission.wishes import PlainCaller, PlainWish
from ..catalogue.compiled import compile_spec
from ..catalogue.schemas import SchemaRefused
from ..catalogue.secrets import Cipher, SecretsUnreadable
from ..catalogue.spec import StandingSpec, TaskSpec
from ..domain.errors import Refused
from ..domain.new_tasks import NewTask
from ..store import schedules, task_types
from ..store.audit import Actor
from .bodies import ScheduleBody, TriggerBody
from .changes import create

log = structlog.stdlib.get_logger(__name__)

BY = Actor("scheduler")

_UNMADE = sa.text("""
SELECT DISTINCT t.name, t.digest FROM task_type t
CROSS JOIN LATERAL jsonb_array_elements(CASE jsonb_typeof(t.spec -> 'schedules') WHEN 'array' THEN t.spec -> 'schedules'
    ELSE '[]' END) s
WHERE t.retired_at IS NULL AND NOT EXISTS (SELECT FROM standing_schedule m WHERE m.name = s ->> 'name')
""")
_REMEMBER = sa.text("""
INSERT INTO standing_schedule (name, task_name) VALUES (:name, :task_name) ON CONFLICT (name) DO NOTHING RETURNING name
""")


def unmade(conn: Connection) -> list[tuple[str, str]]:
    """The types with a schedule that was never made, with the digest of their spec."""
    return [(name, digest) for name, digest in conn.execute(_UNMADE)]


def make(conn: Connection, name: str, *, cipher: Cipher, life: timedelta, lease: timedelta) -> list[str]:
    """Makes the schedules of a type that were never made; answers their names. Call it in a transaction.

    What cannot be made is logged, and not tried again: a later version of the type may declare it by another name.
    """
    made = []
    for spec in _newest_first(task_types.read(conn, lease=lease, name=name).specs.values()):
        for standing in spec.schedules:
            if conn.execute(_REMEMBER, {"name": standing.name, "task_name": spec.name}).first() is None:
                continue
            if standing.name in schedules.by_names(conn, [standing.name]):
                continue  # people were first
            try:
                _make_one(conn, spec, standing, cipher, life)
            except (Refused, SchemaRefused, SecretsUnreadable, ValueError, ValidationError) as e:
                log.warning("standing_schedule_refused", name=standing.name, task_name=spec.name, reason=str(e))
            else:
                made.append(standing.name)
    return made


def _newest_first(specs: Iterable[TaskSpec]) -> list[TaskSpec]:
    return sorted(specs, key=lambda spec: spec.version, reverse=True)


def _make_one(conn: Connection, spec: TaskSpec, standing: StandingSpec, cipher: Cipher, life: timedelta) -> None:
    """Raises Invalid, and what compiling and the bodies raise."""
    trigger = TriggerBody.model_validate(standing.trigger)
    body = ScheduleBody.model_validate({"name": standing.name, "task": {"name": spec.name}, "trigger": trigger})
    wish = PlainWish(name=spec.name, params=standing.params)
    caller = PlainCaller()
    task = admit(wish, compile_spec(spec), caller, cipher=cipher, life=life, now=schedules.now(conn))
    if not isinstance(task, NewTask):
        raise Invalid(task)
    wanted = {**body.model_dump(exclude={"task"}), "trigger": trigger.stored(), "source": f"kit:{spec.kit}"}
    create(conn, wanted, task, BY)

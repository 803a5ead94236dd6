"""A submit in an application's own transaction: checked as the API checks, then written by `taskyard_sql.submit`.

The steps are a generator, so that every driver, synchronous or not, carries out the same ones: it yields statements
with their values, and is sent their rows. `%(name)s` are the places of the values. Nothing is written before everything
is checked.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import orjson
from pydantic import BaseModel, ValidationError

from ..catalogue.compiled import CompiledSpec
from ..catalogue.registry import Live, TypeRegistry
from ..catalogue.secrets import Cipher, SecretsUnreadable
from ..catalogue.spec import SpecRefused
from ..catalogue.stored import MAX_STORED_BYTES, spec_in
from ..catalogue.types import advice
from ..domain.errors import Refused
from ..domain.faults import Fault
from ..domain.ids import new_id
from ..domain.messages import Message, verbatim
from ..lifecycle.batch import Unstorable, check_storable
from .admit import UNKNOWN_TYPE, admit, unknown_queue
from .bodies import SubmitTask
from .field_faults import faults_of
from .invalid import Invalid, NoTaskTypes
from .parameters import MAX_PARAMS_BYTES, PARAMS_TOO_LARGE, TOO_LARGE
from .plain import Plain, TooMany
from .wishes import PlainCaller, Served

Steps = Generator[tuple[str, dict[str, Any]], Sequence[Sequence[Any]], UUID]

# Compiled specs are kept by name; an application uses a few of the types.
_MAX_KEPT = 200
_NO_KEYS = Cipher(())
# The function has the life that was granted with the role; this one is not written.
_LIFE = timedelta(days=1)

_LOOK = f"""
SELECT c.name, c.queues, q.name, t.version, t.digest, t.queues,
    CASE WHEN NOT t.digest = ANY(string_to_array(%(known)s, ','))
        AND octet_length(CAST(t.spec AS text)) <= {MAX_STORED_BYTES} THEN CAST(t.spec AS text) END
FROM taskyard_sql.caller c
LEFT JOIN taskyard_sql.queue q ON q.name = CAST(%(queue)s AS text)
LEFT JOIN taskyard_sql.task_type t ON t.name = CAST(%(name)s AS text)
"""  # noqa: S608 constants only
_NAMES = "SELECT DISTINCT name FROM taskyard_sql.task_type ORDER BY name"
_SUBMIT = """
SELECT taskyard_sql.submit(CAST(%(name)s AS text), CAST(%(params)s AS json), CAST(%(options)s AS json))
"""

NOT_IN_TRANSACTION = "not_in_transaction"
REFUSED = "TY422"
"""The SQLSTATE of a refusal by the function itself."""

# The function's own words too, which are in English.
_UNIQUE = verbatim(
    "A submit in a transaction takes no unique key: until its commit it would hold up all other submits with keys."
    " Submit this task over HTTP."
)
_ID = verbatim(
    "A submit in a transaction takes no id: until its commit it would hold up others with the same one. The answer has"
    " the id."
)
_CALLBACK = verbatim(
    "A submit in a transaction takes no callback: webhook endpoints belong to API keys. Submit this task over HTTP."
)
_LIMITS = verbatim(
    "A submit in a transaction takes no limits: nothing there keeps count of them. Submit this task over HTTP."
)
_SECRET = verbatim(
    "Tasks of this type have secret parameters, and an application has no key to encrypt them: submit this task over"
    " HTTP."
)
_NOT_TAKEN = {"unique": _UNIQUE, "id": _ID, "callback_url": _CALLBACK, "callback_on": _CALLBACK, "limits": _LIMITS}
_PARAMS_TOO_LARGE = Fault("/params", TOO_LARGE, PARAMS_TOO_LARGE)
_WRITTEN = (
    *("queue", "delay_seconds", "run_at", "expires_at", "max_attempts", "soft_timeout_seconds", "hard_timeout_seconds"),
    *("tags", "on_cancel"),
)


class NotGranted(Refused):
    """The role of the connection may not submit."""

    code = "role_not_granted"

    def __init__(self) -> None:
        super().__init__(verbatim("This role may not submit tasks: `taskyard-api roles grant` lets it."))


class Submits:
    """Submits of one application; remembers the compiled specs that it has used."""

    def __init__(self) -> None:
        self._known: dict[str, TypeRegistry] = {}

    def steps(
        self,
        name: str,
        params: Mapping[str, Any] | BaseModel | None,
        options: Mapping[str, Any],
        passed_on: Mapping[str, str],
    ) -> Steps:
        """Returns the id of the task. `passed_on`: `request_id` and `traceparent`, well-formed.

        Raises Invalid, NotGranted, NoTaskTypes.
        """
        wish = checked_body(name, params, options)
        before = self._known.get(wish.name, TypeRegistry())
        known = {spec.digest: spec for spec in before.specs.values()}
        values = {"name": wish.name, "queue": wish.queue, "known": ",".join(known)}
        rows = yield _LOOK, values
        if not rows:
            raise NotGranted
        registry = self._compiled(wish.name, [row[3:] for row in rows if row[3] is not None], before)
        caller_name, queues, queue = rows[0][:3]
        if wish.queue is not None and queues is not None and wish.queue not in queues:
            queue = wish.queue  # it may well exist, and is refused for another reason
        spec = registry.admitting(wish.name)
        if spec is None:
            names = [row[0] for row in (yield _NAMES, {})]
            if not names:
                raise NoTaskTypes
            missing = [] if wish.queue is None or queue is not None else [unknown_queue(wish.queue)]
            raise Invalid([*missing, Fault("/name", advice(wish.name, names), UNKNOWN_TYPE)])
        stored = _admitted(wish, spec, PlainCaller(caller_name, queues), queue, registry)
        written = wish.model_dump(mode="json", include=set(_WRITTEN), exclude_unset=True, exclude_none=True)
        made = {**written, **passed_on, "version": spec.version}
        rows = yield (
            _SUBMIT,
            {"name": wish.name, "params": orjson.dumps(stored).decode(), "options": orjson.dumps(made).decode()},
        )
        return UUID(str(rows[0][0]))

    def _compiled(self, name: str, rows: Sequence[Sequence[Any]], before: TypeRegistry) -> TypeRegistry:
        """Of the rows (version, digest, queues, spec), where a spec that is known already is missing."""
        known = {spec.digest: spec for spec in before.specs.values()}
        specs, live = [], []
        for version, digest, queues, spec in rows:
            try:
                specs.append(known.get(digest) or spec_in(name, version, spec))
            except SpecRefused:
                continue  # the platform refuses it, too
            if queues:
                live.append(Live(name, version, queues))
        registry = TypeRegistry.compile(specs, live, before=before)
        if name in self._known or len(self._known) < _MAX_KEPT:
            self._known[name] = registry
        return registry


def checked_alone(
    name: str, params: Mapping[str, Any] | BaseModel | None, options: Mapping[str, Any]
) -> tuple[UUID, str]:
    """The id and the JSON body of a submit whose type is not known here. Raises Invalid for what every type refuses."""
    wish = checked_body(name, params, options, refused={})
    read = _read(wish.params)
    try:
        check_storable(read.value, pointer="/params")
    except Unstorable as e:
        raise Invalid([Fault(e.pointer, e.sentence)]) from None
    if read.secrets:
        raise Invalid([Fault("/params", _SECRET, NOT_IN_TRANSACTION)])
    if len(orjson.dumps(read.value)) > MAX_PARAMS_BYTES:
        raise Invalid([_PARAMS_TOO_LARGE])
    written = wish.model_dump(mode="json", by_alias=True, exclude={"params"}, exclude_unset=True, exclude_none=True)
    task_id = wish.id or new_id()
    return task_id, orjson.dumps({**written, "id": task_id, "params": read.value}).decode()


def _read(params: object) -> Plain:
    """The parameters at their place in a body: its level counts, too. Raises Invalid."""
    try:
        return Plain(params, place=("params",))
    except Unstorable as e:
        raise Invalid([Fault(e.pointer, e.sentence)]) from None
    except TooMany:
        raise Invalid([_PARAMS_TOO_LARGE]) from None


def checked_body(
    name: str,
    params: Mapping[str, Any] | BaseModel | None,
    options: Mapping[str, Any],
    *,
    refused: Mapping[str, Message] = _NOT_TAKEN,
) -> SubmitTask:
    """The fields of a submit by themselves, without the type; `refused`: fields that cannot be. Raises Invalid."""
    given = {
        option: value.total_seconds() if isinstance(value, timedelta) else value
        for option, value in options.items()
        if value is not None
    }
    faults = [Fault(f"/{option}", told, NOT_IN_TRANSACTION) for option, told in refused.items() if option in given]
    if faults:
        raise Invalid(faults)
    # Not as JSON, which would show secrets as asterisks: admission reads the values themselves.
    plain = params.model_dump(by_alias=True) if isinstance(params, BaseModel) else params
    if isinstance(plain, Mapping):
        plain = dict(plain)
    try:
        return SubmitTask.model_validate({"name": name, **({} if plain is None else {"params": plain}), **given})
    except ValidationError as e:
        raise Invalid(faults_of(e)) from None


def _admitted(
    wish: SubmitTask, spec: CompiledSpec, caller: PlainCaller, queue: str | None, registry: TypeRegistry
) -> dict[str, Any]:
    """The parameters as they are stored. Raises Invalid."""
    if not spec.secrets.is_empty:
        raise Invalid([Fault("/name", _SECRET, NOT_IN_TRANSACTION)])
    served = Served()
    if wish.queue is not None:
        served = Served(known=() if queue is None else (queue,), by_type=registry.queues_serving(wish.name))
    try:
        made = admit(wish, spec, caller, cipher=_NO_KEYS, life=_LIFE, now=datetime.now(UTC), served=served)
    except SecretsUnreadable:  # a value that Python marks as secret, of a type that does not
        raise Invalid([Fault("/params", _SECRET, NOT_IN_TRANSACTION)]) from None
    if isinstance(made, list):
        raise Invalid(made)
    _read(made.params)
    return made.params

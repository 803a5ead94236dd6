"""What children report of their task types, checked: the supervisor imports no task code.

The types of the worker are those of the child that was ready last. After an update in place the children that were
started before it may run others, so each handle keeps its own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import orjson
import structlog

from taskyard.catalogue.retry_spec import RetrySpec
from taskyard.catalogue.spec import SpecRefused, TaskSpec
from taskyard.domain.errors import HardTimeLimitExceeded
from taskyard.domain.retry import RetryPolicy

from ..control import MAX_TYPES
from .handle import Handle, Report
from .metrics import SupervisorMetrics
from .recorder import Recorder
from .registration import Registration
from .template import Template

log = structlog.stdlib.get_logger(__name__)

_SHOWN = 128  # characters of a name that was refused; no name of a type is longer
_TOO_MANY = f"a worker registers at most {MAX_TYPES} task types"


class TypeReports:
    """Takes the reports of children; registers the types of one that is ready. Belongs to the supervisor's main
    thread."""

    def __init__(self, registration: Registration, recorder: Recorder, metrics: SupervisorMetrics) -> None:
        self._registration = registration
        self._recorder = recorder
        self._metrics = metrics
        # Checking a spec takes milliseconds, and every new child reports the same ones.
        self._checked: dict[bytes, TaskSpec | SpecRefused] = {}
        self._told: set[tuple[str, str]] = set()

    def receive(self, child: Handle | Template, message: Mapping[str, Any]) -> None:
        """A `types` event, of a child or of the template of the next ones. The last one is answered."""
        report = child.report
        specs, refused = message.get("specs"), message.get("refused")
        for data in specs if isinstance(specs, list) else ():
            self._add(report, data)
        for name, why in refused.items() if isinstance(refused, dict) else ():
            self._refuse(report, str(name), str(why))
        if message.get("last") is not True:
            return
        child.types = {name: spec for name, spec in report.types.items() if name not in report.refused}
        child.send({"do": "types", "refused": sorted(report.refused)})

    def register(self, child: Handle) -> None:
        """The types of a child that is ready, where they are new: of one that has reported them, hooks and exports may
        still fail."""
        if self._registration.take(child.types):
            self._metrics.know(child.types.values())
            self._recorder.register_types()

    def _add(self, report: Report, data: object) -> None:
        name = str(data["name"] if isinstance(data, dict) and "name" in data else "?")
        try:
            if len(report.types) >= MAX_TYPES:
                raise SpecRefused(_TOO_MANY)
            spec = self._check(data)
        except SpecRefused as e:
            self._refuse(report, name, e.reason)
        else:
            report.types[spec.name] = spec

    def _check(self, data: object) -> TaskSpec:
        try:
            key = hashlib.sha256(orjson.dumps(data)).digest()
        except TypeError:  # nested too deeply, and so on
            return TaskSpec.parse(data)
        if key not in self._checked:
            if len(self._checked) >= 2 * MAX_TYPES:
                self._checked.clear()
            try:
                self._checked[key] = TaskSpec.parse(data)
            except SpecRefused as e:
                self._checked[key] = e
        found = self._checked[key]
        if isinstance(found, SpecRefused):
            raise found
        return found

    def _refuse(self, report: Report, name: str, why: str) -> None:
        if len(report.refused) >= MAX_TYPES:
            return
        shown = (name[:_SHOWN], why[:500])
        report.refused[shown[0]] = shown[1]
        # Once: every child reports the same.
        if shown not in self._told and len(self._told) < MAX_TYPES:
            self._told.add(shown)
            log.error("task_type_refused", task_name=shown[0], reason=shown[1])


def hard_limit_policy(retry: RetrySpec) -> RetryPolicy:
    """The policy of a type as it decides about a hard time limit, which is the only error that a supervisor decides
    about."""
    names = {kind.__name__ for kind in HardTimeLimitExceeded.__mro__}
    own = next((rule.first_delay_seconds for rule in retry.rules if names & set(rule.errors)), None)
    return RetryPolicy(
        retries=retry.max_attempts - 1,
        first_delay=timedelta(seconds=retry.first_delay_seconds if own is None else own),
        max_delay=timedelta(seconds=retry.max_delay_seconds),
        factor=retry.factor,
        jitter=retry.jitter,
        give_up_on=() if retry.retries_hard_limit else (HardTimeLimitExceeded,),
        rules=(),
    )

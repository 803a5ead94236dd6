"""Parameters as admission stores them."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from taskyard.admission.admit import admit
from taskyard.admission.wishes import PlainCaller, PlainWish
from taskyard.catalogue.compiled import compile_spec
from taskyard.catalogue.secrets import Cipher
from taskyard.catalogue.spec import spec_of
from taskyard.catalogue.types import TaskType
from taskyard.domain.faults import Fault
from taskyard.lifecycle.submit import NewTask


def admitted(task_type: TaskType[Any, Any], params: Mapping[str, Any], cipher: Cipher) -> NewTask | list[Fault]:
    wish = PlainWish(name=task_type.name, params=params)
    life, now = timedelta(hours=1), datetime.now(UTC)
    return admit(wish, compile_spec(spec_of(task_type)), PlainCaller(), cipher=cipher, life=life, now=now)


def stored(task_type: TaskType[Any, Any], params: Mapping[str, Any], cipher: Cipher) -> dict[str, Any]:
    made = admitted(task_type, params, cipher)
    assert isinstance(made, NewTask), made
    return made.params

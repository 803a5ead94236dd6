"""Admission: a wish becomes a task with the defaults of its type, or everything that is wrong with it is told."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum, StrEnum
from typing import Any
from uuid import UUID

import pytest
from cryptography.fernet import Fernet
from pydantic import BaseModel, SecretStr

from taskyard.admission.admit import admit, repeated_keys, unknown_type
from taskyard.admission.bodies import SubmitTask
from taskyard.admission.wishes import Caller, PlainCaller, PlainWish, Served, Wish
from taskyard.catalogue.compiled import CompiledSpec, compile_spec
from taskyard.catalogue.registry import TypeRegistry
from taskyard.catalogue.secrets import Cipher, Secret, SecretsUnreadable
from taskyard.catalogue.sizes import Size
from taskyard.catalogue.spec import TaskSpec
from taskyard.domain.faults import Fault
from taskyard.domain.messages import message
from taskyard.lifecycle.submit import NewTask, Unique
from taskyard_api.auth import Caller as KeyHolder

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
CIPHER = Cipher([Fernet.generate_key().decode()])
ID = UUID(int=7)
SPEC = compile_spec(
    TaskSpec.parse(
        {
            "name": "billing.invoice",
            "version": 3,
            "queue": "reports",
            "params": {
                "type": "object",
                "properties": {
                    "n": {"type": "integer"},
                    "note": {"default": "none"},
                    "token": {"writeOnly": True, "format": "password"},
                },
                "required": ["n"],
                "additionalProperties": False,
            },
            "result": {},
            "retry": {"max_attempts": 4, "first_delay_seconds": 1, "max_delay_seconds": 1, "factor": 1, "jitter": True},
            "soft_timeout_seconds": 540,
            "hard_timeout_seconds": 600,
        }
    )
)
CI = PlainCaller("ci")
WISH = PlainWish(name="billing.invoice", params={"n": 1})


class Kind(StrEnum):
    TEXT = "text"


class Odd(Enum):
    NUMBER = 1


class Prices(BaseModel):
    by_number: dict[int, Decimal] = {}
    by_id: dict[UUID, SecretStr] = {}
    loose: Any = None


def admitted(wish: Wish, *, caller: Caller = CI, spec: CompiledSpec = SPEC, **more: Any) -> Any:
    return admit(
        wish, spec, caller, **{"cipher": CIPHER, "life": timedelta(hours=1), "now": NOW, "make_id": lambda: ID, **more}
    )


def faults(wish: Wish, **more: Any) -> list[tuple[str, str]]:
    made = admitted(wish, **more)
    assert isinstance(made, list), made
    return [(fault.pointer, fault.code) for fault in made]


def test_a_wish_becomes_a_task_with_the_defaults_of_its_type() -> None:
    made = admitted(WISH, request_id="r", traceparent="t", parent_id=ID)
    assert made == NewTask(
        id=ID,
        name="billing.invoice",
        queue="reports",
        params={"n": 1, "note": "none"},
        version=3,
        max_attempts=4,
        soft_timeout_seconds=540.0,
        hard_timeout_seconds=600.0,
        life_seconds=3600.0,
        tags=[],
        request_id="r",
        traceparent="t",
        submitted_by="ci",
        parent_id=ID,
    )
    assert WISH.params == {"n": 1}


def test_what_the_wish_says_wins_over_the_type() -> None:
    body = SubmitTask.model_validate({
        "name": "billing.invoice", "params": {"n": 1}, "queue": "other", "run_at": "2026-02-01T00:00:00Z",
        "expires_at": "2026-02-02T00:00:00Z", "max_attempts": 9, "hard_timeout_seconds": 5, "tags": ["a", "b", "a"],
        "unique": {"key": "k", "while": "active"}, "on_cancel": "leave_children",
    })  # fmt: skip
    key = KeyHolder(ID, "ci", frozenset({"submit"}), frozenset({"other", "a"}))
    made = admitted(body, caller=key, parsed=True)
    assert (made.queue, made.max_attempts, made.tags, made.on_cancel) == ("other", 9, ["a", "b"], "leave_children")
    assert (made.soft_timeout_seconds, made.hard_timeout_seconds) == (5, 5)
    assert made.unique == Unique("k", "active")
    assert (made.run_at, made.expires_at) == (body.run_at, body.expires_at)
    assert (made.submitted_by, made.allowed_queues) == ("ci", ["a", "other"])


def later(**times: float) -> datetime:
    return NOW + timedelta(**times)


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"run_at": later(days=1), "delay_seconds": 1.0}, "/run_at"),
        ({"run_at": later(days=3654)}, "/run_at"),
        ({"run_at": later(days=-366)}, "/run_at"),
        ({"expires_at": NOW}, "/expires_at"),
        ({"expires_at": later(hours=1), "delay_seconds": 3600.0}, "/expires_at"),
        ({"expires_at": later(hours=1), "run_at": later(hours=1)}, "/expires_at"),
        ({"expires_at": later(days=4019)}, "/expires_at"),
        ({"soft_timeout_seconds": 601.0}, "/soft_timeout_seconds"),
        ({"soft_timeout_seconds": 6.0, "hard_timeout_seconds": 5.0}, "/soft_timeout_seconds"),
        ({"soft_timeout_seconds": 0.99}, "/soft_timeout_seconds"),
        ({"soft_timeout_seconds": 0.0}, "/soft_timeout_seconds"),
        ({"hard_timeout_seconds": 0.99}, "/hard_timeout_seconds"),
        ({"hard_timeout_seconds": 0.0}, "/hard_timeout_seconds"),
        ({"params": {}}, "/params/n"),
        ({"params": {"n": "1"}}, "/params/n"),
        ({"params": {"n": 1, "m": 1}}, "/params/m"),
        ({"params": []}, "/params"),
        ({"params": {"n": 1, "note": {"$secret": "x"}}}, "/params/note"),
        ({"params": {"n": 1, "note": "\x00"}}, "/params/note"),
        ({"params": {"n": 1, "note": {"a": [object()]}}}, "/params/note/a/0"),
    ],
)
def test_every_wrong_part_is_named(changes: dict[str, Any], pointer: str) -> None:
    assert faults(replace(WISH, **changes), prefix="/tasks/3") == [(f"/tasks/3{pointer}", "invalid_request")]


def test_limits_of_a_second_are_taken() -> None:
    made = admitted(replace(WISH, soft_timeout_seconds=1.0, hard_timeout_seconds=1.0))
    assert isinstance(made, NewTask)
    assert (made.soft_timeout_seconds, made.hard_timeout_seconds) == (1, 1)


def test_everything_that_is_wrong_is_told_at_once() -> None:
    wish = replace(WISH, params={}, expires_at=NOW, soft_timeout_seconds=601.0, queue="other")
    found = faults(wish, served=Served(known=["reports"]))
    assert [pointer for pointer, _ in found] == ["/queue", "/expires_at", "/soft_timeout_seconds", "/params/n"]


def test_parameters_have_256_kib_at_most_with_their_defaults() -> None:
    assert isinstance(admitted(replace(WISH, params={"n": 1, "note": "x" * 262_000})), NewTask)
    assert faults(replace(WISH, params={"n": 1, "note": "x" * 262_144})) == [("/params", "params_too_large")]
    # What is known to be smaller is not measured.
    large = replace(WISH, params={"n": 1, "note": "x" * 262_144})
    assert isinstance(admitted(large, size=Size(bytes=10, values=10)), NewTask)


@pytest.mark.parametrize(
    ("queue", "served", "code"),
    [
        ("other", Served(), None),
        ("other", Served(known=["other"]), None),
        ("other", Served(known=["reports"]), "unknown_queue"),
        ("other", Served(known=["other"], by_type=["reports", "x"]), "queue_not_served"),
        ("other", Served(by_type=["other"]), None),
        ("other", Served(by_type=[]), None),  # nothing live runs the type
        ("reports", Served(by_type=["x"]), None),  # the type's own queue
        (None, Served(known=[], by_type=["x"]), None),
    ],
)
def test_a_queue_has_to_exist_and_to_be_served_for_the_type(
    queue: str | None, served: Served, code: str | None
) -> None:
    made = admitted(replace(WISH, queue=queue), served=served)
    assert isinstance(made, NewTask) if code is None else made[0].code == code
    if code == "unknown_queue":
        assert "'other'" in made[0].message
        assert "once a worker serves it" in made[0].message
    if code == "queue_not_served":
        assert "reports, x" in made[0].message


@pytest.mark.parametrize("queue", ["other", None])
def test_a_caller_submits_to_its_own_queues_only(queue: str | None) -> None:
    wish = replace(WISH, queue=queue)
    assert faults(wish, caller=PlainCaller("ci", ["x"])) == [("/queue", "queue_not_allowed")]
    assert isinstance(admitted(wish, caller=PlainCaller("ci", [queue or "reports"])), NewTask)


def test_a_refused_queue_of_the_wish_tells_nothing_else() -> None:
    wish = replace(WISH, queue="other", params={})
    assert faults(wish, caller=PlainCaller("ci", ["x"])) == [("/queue", "queue_not_allowed")]


def test_a_secret_is_sealed_also_where_a_task_passes_it_on_in_a_plain_parameter() -> None:
    made = admitted(replace(WISH, params={"n": 1, "token": Secret("t"), "note": {"a": Secret("u")}}))
    assert CIPHER.open(made.params["token"]) == "t"
    assert CIPHER.open(made.params["note"]["a"]) == "u"


@pytest.mark.parametrize("key", [1, 1.5, True, None, UUID(int=7), date(2030, 1, 2), (1, 2), Odd.NUMBER])
def test_keys_that_json_would_change_are_refused_with_their_place(key: Any) -> None:
    (fault,) = admitted(replace(WISH, params={"n": 1, "note": {"a": ({key: "x"},)}}))
    assert (fault.pointer, fault.message) == ("/params/note/a/0", "Keys must be text.")
    (fault,) = admitted(replace(WISH, params={"n": 1, "note": Prices(loose=iter([{key: "x"}]))}))
    assert (fault.pointer, fault.message) == ("/params/note/loose/0", "Keys must be text.")


def test_keys_have_the_form_in_json_that_a_model_reads_back_and_none_is_lost() -> None:
    given = Prices(by_number={1: Decimal("0.1")}, by_id={UUID(int=7): SecretStr("t")}, loose={Kind.TEXT: 1})
    made = admitted(replace(WISH, params={"n": 1, "note": given})).params["note"]
    assert made["by_number"] == {"1": "0.1"}
    assert CIPHER.open(made["by_id"][str(UUID(int=7))]) == "t"
    assert made["loose"] == {"text": 1}
    (fault,) = admitted(replace(WISH, params={"n": 1, "note": Prices(loose={1: "x", "1": "y"})}))
    assert (fault.pointer, fault.message) == ("/params/note/loose", "Two keys are '1' in JSON.")


def test_without_keys_a_secret_is_refused_and_never_stored_as_it_is() -> None:
    with pytest.raises(SecretsUnreadable):
        admitted(replace(WISH, params={"n": 1, "token": "t"}), cipher=Cipher([]))
    assert admitted(replace(WISH, params={"n": 1, "token": None}), cipher=Cipher([])).params["token"] is None


def test_a_unique_key_that_occurs_twice_in_a_batch_is_named_where_it_occurs_again() -> None:
    unique = Unique("k", "active")
    wishes = [
        replace(WISH, unique=unique),
        WISH,
        replace(WISH, name="other", unique=unique),
        replace(WISH, unique=unique),
    ]
    assert [fault.pointer for fault in repeated_keys(wishes)] == ["/tasks/3/unique/key"]


def test_an_unknown_type_is_answered_with_the_nearest_names() -> None:
    fault = unknown_type(TypeRegistry.compile([SPEC.spec]), "billing.invoce", "/tasks/1")
    assert fault == Fault(
        "/tasks/1/name",
        message("There is no task type 'billing.invoce'. Did you mean billing.invoice?"),
        "unknown_task_type",
    )


def test_a_time_says_on_which_side_it_lies_too_far() -> None:
    for days, word in ((3654, "ahead"), (-366, "in the past")):
        (fault,) = [f for f in admitted(replace(WISH, run_at=later(days=days))) if f.pointer == "/run_at"]
        assert word in fault.message
    # A time that has passed means at once.
    assert isinstance(admitted(replace(WISH, run_at=later(hours=-1))), NewTask)

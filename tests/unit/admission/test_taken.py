"""References to results in parameters: they fit any schema at their place, and everything around them is checked."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.fernet import Fernet

from taskyard.admission.admit import admit
from taskyard.admission.graphs import Before, ordered
from taskyard.admission.wishes import PlainCaller, PlainWish
from taskyard.catalogue.compiled import CompiledSpec, compile_spec
from taskyard.catalogue.secrets import Cipher
from taskyard.catalogue.spec import TaskSpec
from taskyard.domain.faults import Fault
from taskyard.domain.references import Reference
from taskyard.lifecycle.submit import NewTask

CIPHER = Cipher([Fernet.generate_key().decode()])
TAKEN = {"$result": "a.b"}
INNER = {"type": "object", "properties": {"x": {"type": "integer"}, "y": {"default": 5}}, "additionalProperties": False}


def spec_of(properties: dict[str, Any], **more: Any) -> CompiledSpec:
    params = {"type": "object", "properties": properties, "additionalProperties": False, **more}
    return compile_spec(
        TaskSpec.parse(
            {
                "name": "t.t",
                "version": 1,
                "queue": "default",
                "params": params,
                "result": {},
                "retry": {
                    "max_attempts": 1, "first_delay_seconds": 1, "max_delay_seconds": 1, "factor": 1, "jitter": True
                },
                "soft_timeout_seconds": 5,
                "hard_timeout_seconds": 6,
            }
        )
    )  # fmt: skip


def admitted(spec: CompiledSpec, params: dict[str, Any], *, takes: bool = True) -> dict[str, Any] | list[str]:
    wish = PlainWish(name="t.t", params=params)
    life, now = timedelta(hours=1), datetime.now(UTC)
    made = admit(wish, spec, PlainCaller(), cipher=CIPHER, life=life, now=now, takes_results=takes)
    return made.params if isinstance(made, NewTask) else [fault.pointer for fault in made]


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "integer", "minimum": 3},
        {"const": 7},
        {"enum": ["a", "b"]},
        {"type": "string", "format": "uuid"},
        {"oneOf": [{"type": "integer"}, {"type": "string"}]},
        {"not": {"type": "object"}},
        {"type": "array", "items": {"type": "integer"}, "minItems": 2},
        {"$ref": "#/$defs/inner"},
    ],
    ids=str,
)
def test_a_reference_fits_any_schema_at_its_place(schema: dict[str, Any]) -> None:
    spec = spec_of({"v": schema, "n": {"type": "integer"}}, **{"$defs": {"inner": INNER}})
    assert admitted(spec, {"v": TAKEN, "n": 1}) == {"v": TAKEN, "n": 1}
    assert admitted(spec, {"v": TAKEN, "n": "1"}) == ["/params/n"]
    assert admitted(spec, {"v": TAKEN, "n": 1}, takes=False) != {"v": TAKEN, "n": 1}


def test_references_stand_in_lists_and_objects_and_their_neighbours_are_checked() -> None:
    spec = spec_of({"rows": {"type": "array", "items": INNER, "uniqueItems": True}})
    assert admitted(spec, {"rows": [TAKEN, TAKEN, {"x": TAKEN, "y": 1}]}) == {
        "rows": [TAKEN, TAKEN, {"x": TAKEN, "y": 1}]
    }
    assert admitted(spec, {"rows": [TAKEN, {"x": "no"}]}) == ["/params/rows/1/x"]
    assert admitted(spec, {"rows": TAKEN, "other": TAKEN}) == ["/params/other"]


def test_a_reference_gets_no_defaults_of_what_it_stands_for() -> None:
    spec = spec_of({"v": INNER, "w": INNER})
    assert admitted(spec, {"v": TAKEN, "w": {"x": 1}}) == {"v": TAKEN, "w": {"x": 1, "y": 5}}


def test_alternatives_that_other_values_decide_stay_decided() -> None:
    one = {"type": "object", "properties": {"kind": {"const": "one"}, "a": {"type": "integer"}}, "required": ["kind"]}
    two = {"type": "object", "properties": {"kind": {"const": "two"}, "a": {"type": "string"}}, "required": ["kind"]}
    spec = spec_of({"v": {"oneOf": [one, two]}})
    assert admitted(spec, {"v": {"kind": "one", "a": TAKEN}}) == {"v": {"kind": "one", "a": TAKEN}}
    assert admitted(spec, {"v": {"kind": "three", "a": TAKEN}}) != {"v": {"kind": "three", "a": TAKEN}}


def test_a_secret_takes_no_result_at_its_place_nor_inside() -> None:
    secret = {"writeOnly": True, "format": "password"}
    spec = spec_of({"s": secret, "o": {"type": "object", **secret}, "n": {}})
    assert admitted(spec, {"s": TAKEN, "n": TAKEN}) == ["/params/s"]
    assert admitted(spec, {"o": {"inside": [TAKEN]}}) == ["/params/o/inside/0"]


def test_a_step_takes_a_hundred_results_at_most() -> None:
    spec = spec_of({"rows": {"type": "array"}})
    assert isinstance(admitted(spec, {"rows": [TAKEN] * 100}), dict)
    assert admitted(spec, {"rows": [TAKEN] * 101}) == ["/params"]


@pytest.mark.parametrize(
    ("text", "step", "path"),
    [
        ("a", "a", ()),
        ("a-1_B.b.c[0][12].d", "a-1_B", ("b", "c", "0", "12", "d")),
        ("a.with space.é", "a", ("with space", "é")),
        ("a[0]", "a", ("0",)),
    ],
)
def test_a_reference_is_a_step_and_a_path(text: str, step: str, path: tuple[str, ...]) -> None:
    assert Reference.parse(text) == Reference(step, path)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a.",
        "a.-1",
        "a.b. -2.c",
        "a..b",
        "a[",
        "a[]",
        "a[-1]",
        "a[x]",
        "a]b",
        ".a",
        "a b",
        "a" * 65,
        "a." + "b" * 1000,
    ],
)
def test_other_texts_are_none(text: str) -> None:
    assert Reference.parse(text) is None


def test_a_long_chain_and_a_wide_group_are_sorted_and_a_long_circle_is_shown_in_part() -> None:
    chain = {f"s{n}": [f"s{n - 1}"] if n else [] for n in range(9_999, -1, -1)}
    order = ordered(chain)
    assert order == [f"s{n}" for n in range(10_000)]
    before = Before(chain, [str(name) for name in order])
    assert before.comes("s0", "s9999")
    assert not before.comes("s9999", "s0")
    assert not before.comes("s5", "s5")
    (fault,) = ordered({**chain, "s0": ["s9999"]})
    assert isinstance(fault, Fault)
    assert (fault.code, len(fault.message) < 300) == ("cycle", True)

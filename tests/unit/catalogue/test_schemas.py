"""Compiled schemas: validating stays cheap whatever the schema, and faults are plain sentences without values."""

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskyard.catalogue.schema_cost import check_cost
from taskyard.catalogue.schemas import SchemaRefused, check_schema, compile_schema
from taskyard.catalogue.sizes import size_of

SECRET = "hunter2-in-the-clear"


def told(schema: Any, value: Any) -> list[tuple[str, str]]:
    return [(fault.pointer, fault.message) for fault in compile_schema(schema).faults(value, "/params")]


def doubling(step: str, levels: int) -> dict[str, Any]:
    """Each definition refers twice to the next."""
    defs: dict[str, Any] = {f"d{levels}": {"type": "string"}}
    for n in range(levels):
        twice = [{"$ref": f"#/$defs/d{n + 1}"}] * 2
        # A level down, through the items, or in place.
        defs[f"d{n}"] = {step: [{"items": branch} for branch in twice]} if step == "allOf" else {step: twice}
    return {"$ref": "#/$defs/d0", "$defs": defs}


RECURSIVE = {"$ref": "#/$defs/n", "$defs": {"n": {"allOf": [{"items": {"$ref": "#/$defs/n"}}] * 2}}}
COSTLY: dict[str, Any] = {
    "refs repeated under anyOf": doubling("anyOf", 40),
    "refs repeated under oneOf": doubling("oneOf", 2_000),
    "refs repeated through items": doubling("allOf", 20),
    "recursion through items": RECURSIVE,
    "recursion through properties": json.loads(json.dumps(RECURSIVE).replace('"items": {', '"properties": {"a": {')
                                               .replace("}}, {", "}}}, {").replace("}}]}}}", "}}}]}}}")),
    "recursion through patterns": {
        "$ref": "#/$defs/n",
        "$defs": {"n": {"patternProperties": {"a": {"$ref": "#/$defs/n"}, "b": {"$ref": "#/$defs/n"}}}},
    },
    "recursion through items and contains": {
        "$ref": "#/$defs/n", "$defs": {"n": {"items": {"$ref": "#/$defs/n"}, "contains": {"$ref": "#/$defs/n"}}},
    },
    "recursion through if": {
        "$ref": "#/$defs/n",
        "$defs": {"n": {"if": {"items": {"$ref": "#/$defs/n"}}, "then": {"items": {"$ref": "#/$defs/n"}}}},
    },
    "recursion through dependentSchemas": {
        "$ref": "#/$defs/n",
        "$defs": {"n": {"dependentSchemas": {k: {"additionalProperties": {"$ref": "#/$defs/n"}} for k in "ab"}}},
    },
    "many alternatives": {"items": {"anyOf": [{"type": "null"}] * 600}},
    "many structures to compare with": {"items": {"enum": [[n] for n in range(100)]}},
    "options of two types": {"items": {"enum": [*range(200), *map(str, range(200))]}},
    "many fractions": {"items": {"allOf": [{"multipleOf": 0.01}, {"multipleOf": 0.02}]}},
    "many patterns": {"items": {"allOf": [{"pattern": f"(a|b)*{n}"} for n in range(60)]}},
    "many formats": {"items": {"allOf": [{"format": "email"}] * 12}},
    "many dependencies": {"items": {"dependentRequired": {str(n): ["a"] for n in range(300)}}},
    "many subschemas": {"properties": {str(n): {} for n in range(4_001)}},
    "a long chain of references": {
        "$ref": "#/$defs/d0", "$defs": {f"d{n}": {"$ref": f"#/$defs/d{n + 1}"} for n in range(1_500)} | {"d1500": {}},
    },
}  # fmt: skip


@pytest.mark.parametrize("what", COSTLY)
def test_a_schema_that_could_take_long_to_validate_is_refused(what: str) -> None:
    with pytest.raises(SchemaRefused):
        check_schema(COSTLY[what])


HARMLESS: dict[str, Any] = {
    "any JSON, recursive": {
        "$ref": "#/$defs/j",
        "$defs": {
            "j": {
                "anyOf": [
                    *({"type": kind} for kind in ("string", "number", "boolean", "null")),
                    {"type": "array", "items": {"$ref": "#/$defs/j"}},
                    {"type": "object", "additionalProperties": {"$ref": "#/$defs/j"}},
                ]
            }
        },
    },
    "a binary tree": {
        "$ref": "#/$defs/t",
        "$defs": {"t": {"properties": {"left": {"$ref": "#/$defs/t"}, "right": {"$ref": "#/$defs/t"}}}},
    },
    "expressions of twenty kinds": {
        "$ref": "#/$defs/e",
        "$defs": {
            "e": {
                "oneOf": [
                    {"properties": {"kind": {"const": f"k{n}"}, f"in{n}": {"$ref": "#/$defs/e"}},
                     "additionalProperties": False}
                    for n in range(20)
                ]
            }
        },
    },
    "many options of one type": {"items": {"enum": [f"v{n}" for n in range(5_000)]}},
    "many properties": {"items": {"properties": {f"p{n}": {"type": "string"} for n in range(900)}}},
    # 0.04 s for 30,000 different numbers, and 0.01 s for 20,000 lists, when this was written
    "unique items": {"uniqueItems": True, "minItems": 3},
    "an exponential pattern, in linear time": {"pattern": "^(a+)+$"},
    "annotations": {"title": "a", "examples": [1], "x-unknown": {"$id": "x"}, "default": {"$ref": "http://x/"}},
}  # fmt: skip


@pytest.mark.parametrize("what", HARMLESS)
def test_a_schema_of_the_usual_kinds_is_taken(what: str) -> None:
    assert compile_schema(HARMLESS[what]).source == HARMLESS[what]


def test_an_exponential_pattern_is_matched_in_linear_time() -> None:
    # 2 ms for 250,000 characters when this was written; a backtracking engine would not come back.
    assert told({"pattern": "^(a+)+$"}, "a" * 250_000 + "b") == [("/params", "Must match the pattern ^(a+)+$")]
    assert told({"pattern": "^(a+)+$"}, "a" * 250_000) == []


FAULTS: list[tuple[Any, Any, list[tuple[str, str]]]] = [
    ({"type": "string"}, 1, [("", "Must be a text.")]),
    ({"type": ["number", "null"]}, "1", [("", "Must be a number or null.")]),
    ({"type": "integer"}, "1", [("", "Must be a whole number.")]),
    ({"type": "integer"}, True, [("", "Must be a whole number.")]),
    ({"type": "integer"}, 1.0, []),
    ({"type": "integer"}, 1.5, [("", "Must be a whole number.")]),
    ({"enum": ["a", 1, None]}, "b", [("", 'Must be "a", 1 or null.')]),
    ({"enum": [str(n) for n in range(11)]}, "b", [("", "Must be one of the allowed values.")]),
    ({"const": "a"}, "b", [("", 'Must be "a".')]),
    ({"minimum": 3}, 2, [("", "Must be 3 or more.")]),
    ({"minimum": 0.0}, -1, [("", "Must be 0 or more.")]),
    ({"minimum": 0.5}, 0, [("", "Must be 0.5 or more.")]),
    ({"exclusiveMaximum": 3}, 3, [("", "Must be less than 3.")]),
    ({"multipleOf": 5}, 3, [("", "Must be a multiple of 5.")]),
    ({"minLength": 1}, "", [("", "Must have at least 1 character.")]),
    ({"maxLength": 2}, "abc", [("", "Must have at most 2 characters.")]),
    ({"maxItems": 2}, [1, 2, 3], [("", "Must have at most 2 items.")]),
    ({"uniqueItems": True}, [1, 1], [("", "Must not have the same item twice.")]),
    ({"maxProperties": 1}, {"a": 1, "b": 2}, [("", "Must have at most 1 name.")]),
    ({"pattern": "^a$"}, "b", [("", "Must match the pattern ^a$")]),
    ({"pattern": "a" * 101}, "b", [("", "Must match the pattern of its schema.")]),
    ({"pattern": "^a$", "x-message": "Must be an a."}, "b", [("", "Must be an a.")]),
    ({"format": "email"}, "x", [("", "Not a mail address: it has no @.")]),
    ({"format": "uuid"}, "0" * 32, [("", "Must be a UUID with its hyphens: 0193aaaa-0000-7000-8000-000000000000.")]),
    ({"format": "of another release"}, "x", []),
    ({"properties": {"ü {%}": {"type": "null"}}}, {"ü {%}": 1}, [("/ü {%}", "Must be null.")]),
    (False, 1, [("", "Nothing is allowed here.")]),
    ({"required": ["a/b"]}, {}, [("/a~1b", "`a/b` is required.")]),
    ({"dependentRequired": {"a": ["b"]}}, {"a": 1}, [("/b", "`b` is required.")]),
    (
        {"properties": {"to_email": {}}, "additionalProperties": False},
        {"to_mail": SECRET},
        [("/to_mail", "There is no parameter `to_mail`. Did you mean `to_email`?")],
    ),
    ({"additionalProperties": False}, {"x" * 101: 1}, [("/" + "x" * 101, "There is no parameter of this name.")]),
    ({"additionalProperties": False}, {"a\nb": 1}, [("/a\nb", "There is no parameter of this name.")]),
    ({"patternProperties": {"^x_": {"type": "null"}}, "additionalProperties": False}, {"x_1": 1, "y": 2},
     [("/x_1", "Must be null."), ("/y", "There is no parameter `y`.")]),
    ({"additionalProperties": {"type": "null"}}, {"a": {"b": 1}}, [("/a", "Must be null.")]),
    ({"propertyNames": {"maxLength": 1}}, {"ab": 1}, [("/ab", "This name is not allowed here.")]),
    ({"items": {"type": "null"}, "prefixItems": [{"type": "string"}]}, [1, 2],
     [("/0", "Must be a text."), ("/1", "Must be null.")]),
    ({"contains": {"type": "null"}}, [1],
     [("", "Must contain an item of the kind that its schema asks for, in the number it asks for.")]),
    ({"not": {"type": "string"}}, "a", [("", "Has a form that is not allowed here.")]),
    ({"not": {"required": ["a", "b"]}, "x-message": "Give a or b."}, {"a": 1, "b": 1}, [("", "Give a or b.")]),
    ({"if": {"required": ["a"]}, "then": {"required": ["b"]}}, {"a": 1}, [("/b", "`b` is required.")]),
    ({"if": {"required": ["a"]}, "else": {"required": ["b"]}}, {}, [("/b", "`b` is required.")]),
    ({"dependentSchemas": {"a": {"required": ["b"]}}}, {"a": 1}, [("/b", "`b` is required.")]),
    ({"allOf": [{"minimum": 3}, {"maximum": 1}]}, 2, [("", "Must be 3 or more."), ("", "Must be 1 or less.")]),
    # Optional: the other alternative's fault, at its own place
    ({"properties": {"a": {"anyOf": [{"type": "string", "maxLength": 1}, {"type": "null"}]}}}, {"a": "xy"},
     [("/a", "Must have at most 1 character.")]),
    ({"anyOf": [{"$ref": "#/$defs/m"}, {"type": "null"}], "$defs": {"m": {"properties": {"b": {"type": "string"}}}}},
     {"b": 1}, [("/b", "Must be a text.")]),
    # The alternative that got furthest
    ({"anyOf": [{"type": "string"}, {"type": "object", "required": ["a"]}]}, {}, [("/a", "`a` is required.")]),
    (
        {"oneOf": [{"properties": {"kind": {"const": k}, k: {"type": "string"}}, "required": [k]} for k in "xy"]},
        {"kind": "y", "y": 5},
        [("/y", "Must be a text.")],
    ),
    ({"anyOf": [{"type": "string"}, {"type": "integer"}]}, [], [("", "Must be a text or a whole number.")]),
    ({"oneOf": [{}, {}]}, 1, [("", "Fits none of the forms that are allowed here.")]),
    ({"anyOf": [{"required": ["a"]}, {"required": ["b"]}], "x-message": "a or b"}, {}, [("", "a or b")]),
    # The author's sentence waits until each parameter is right by itself.
    ({"anyOf": [{"required": ["a"]}], "x-message": "a", "properties": {"b": {"type": "null"}}}, {"b": 1},
     [("/b", "Must be null.")]),
]  # fmt: skip


@pytest.mark.parametrize(("schema", "value", "expected"), FAULTS)
def test_every_kind_of_error_has_its_pointer_and_sentence(
    schema: Any, value: Any, expected: list[tuple[str, str]]
) -> None:
    assert told(schema, value) == [(f"/params{pointer}", sentence) for pointer, sentence in expected]


def test_no_sentence_quotes_a_value() -> None:
    for schema, _, _ in FAULTS:
        for value in (SECRET, [SECRET], {"a": SECRET, "b": [SECRET], "kind": SECRET, "x": SECRET}):
            assert SECRET not in str(told(schema, value))


def test_at_most_100_faults_are_told() -> None:
    assert len(told({"items": {"type": "null"}}, [1] * 1_000)) == 100
    assert len(told({"required": [str(n) for n in range(1_000)]}, {})) == 100


def test_a_fault_at_the_end_of_a_large_value_has_its_pointer() -> None:
    values = [*[0] * 100_000, "x"]
    assert told({"items": {"type": "integer"}}, values) == [("/params/100000", "Must be a whole number.")]


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        # jsonschema-rs's own list of errors took 78 s and 14 GB for the first, and 19 s and 3 GB for the second.
        ({"items": {"enum": [f"v{n}" for n in range(5_000)]}}, ["zzz"] * 40_000),
        ({"required": [f"a{n}" for n in range(2_000)]}, {f"p{n}": "x" * 40 for n in range(5_000)}),
        ({"allOf": [{"items": {"items": {"maxLength": n}}} for n in range(100)]}, [["x" * 200] * 60_000]),
    ],
)
def test_the_faults_of_large_values_are_found_without_copying_them(schema: Any, value: Any) -> None:
    assert 1 <= len(told(schema, value)) <= 100


@pytest.mark.parametrize("value", ["\ud800", {1: 2}, object()])
def test_what_is_no_json_is_a_fault_and_no_crash(value: Any) -> None:
    assert told({}, value) == [("/params", "Cannot be read as JSON.")]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from([0.5, "", "a", "b", "abc"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)
SCHEMAS = st.recursive(
    st.sampled_from([{}, True, False, {"type": "string"}, {"type": ["integer", "null"]}, {"enum": ["a", 1]},
                     {"minimum": 1}, {"maxLength": 1}, {"required": ["a"]}, {"minItems": 1}]),
    lambda inner: st.one_of(
        st.fixed_dictionaries({"properties": st.dictionaries(st.sampled_from("ab"), inner, max_size=2)}),
        st.fixed_dictionaries({"additionalProperties": inner, "patternProperties": st.just({"a": {}})}),
        st.fixed_dictionaries({"items": inner}),
        st.fixed_dictionaries({"contains": inner}),
        st.fixed_dictionaries({"anyOf": st.lists(inner, min_size=1, max_size=3)}),
        st.fixed_dictionaries({"oneOf": st.lists(inner, min_size=1, max_size=3)}),
        st.fixed_dictionaries({"allOf": st.lists(inner, min_size=1, max_size=3)}),
        st.fixed_dictionaries({"not": inner}),
        st.fixed_dictionaries({"if": inner, "then": inner, "else": inner}),
        st.fixed_dictionaries({"dependentSchemas": st.fixed_dictionaries({"a": inner})}),
        st.fixed_dictionaries({"propertyNames": inner}),
    ),
    max_leaves=6,
)  # fmt: skip


@given(SCHEMAS, JSON)
def test_whatever_is_invalid_has_a_fault_that_says_where(schema: Any, value: Any) -> None:
    compiled = compile_schema(schema)
    faults = compiled.faults(value)
    assert bool(faults) is not compiled.is_valid(value)
    assert "Does not fit its schema." not in {fault.message for fault in faults}, "the search found nothing"


LISTS: dict[str, Any] = {
    "alternatives": {"anyOf": [{"const": n} for n in range(50)]},
    "many evaluations": {"anyOf": [{"minimum": n} for n in range(450)]},
    "fractions": {"multipleOf": 0.01},
}


@pytest.mark.parametrize("what", LISTS)
def test_the_evaluations_of_all_values_together_are_bounded(what: str) -> None:
    schema = compile_schema({"type": "object", "properties": {"a": {"type": "array", "items": LISTS[what]}}})
    cost, most = check_cost(schema.parts), schema.most.values
    assert most * cost <= 8_000_000
    assert most < 131_072, "not as many as the parameters hold"


def test_plain_schemas_take_as_many_values_as_the_parameters_hold() -> None:
    schema = compile_schema({"type": "object", "properties": {"a": {"type": "array", "items": {"type": "integer"}}}})
    assert size_of(b'{"a":[' + b"1," * 131_000 + b"1]}").fits(schema.most)


@pytest.mark.parametrize(
    ("schema", "most"),
    [
        ({"pattern": "a[ab]{3000}c"}, 16 * 1024),
        ({"allOf": [{"pattern": f"a[ab]{{100}}{n}"} for n in range(10)]}, 52_428),
        ({"patternProperties": {"a[ab]{3000}c": {}}}, 16 * 1024),
        ({"items": {"$ref": "#/$defs/p"}, "$defs": {"p": {"pattern": "a[ab]{3000}c"}}}, 16 * 1024),
    ],
)
def test_a_type_with_large_patterns_takes_shorter_parameters(schema: Any, most: int) -> None:
    assert compile_schema(schema).most.bytes == most


@pytest.mark.parametrize(
    "pattern",
    [r"^[A-Za-z]{2,3}([-_][A-Za-z0-9]{2,8})*$", r"[^\s]", r"^\p{Lu}\p{L}+ \p{Lu}\p{L}+$", r"^\w{1,64}$", "^(a+)+$"],
)
def test_a_type_with_usual_patterns_takes_parameters_of_any_size(pattern: str) -> None:
    assert compile_schema({"pattern": pattern}).most.bytes >= 256 * 1024


def test_a_single_costly_look_ends_the_search_for_faults() -> None:
    # Each look at the text takes long, so that the time must not be counted in looks.
    schema = compile_schema({"anyOf": [{"pattern": f"a[ab]{{3000}}c{n}"} for n in range(8)]})
    text = "ab" * (schema.most.bytes // 2)
    began = time.thread_time()
    schema.is_valid(text)
    once = time.thread_time() - began
    began = time.thread_time()
    assert schema.faults(text)
    assert time.thread_time() - began < 0.25 + 6 * once

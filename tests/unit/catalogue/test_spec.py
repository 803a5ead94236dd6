"""Specs are input: whatever a worker sends is taken within bounds, or refused soon and with a reason."""

import json
import math
from dataclasses import replace
from datetime import timedelta
from typing import Annotated, Any

import orjson
import pytest
from pydantic import Field, SecretStr

from taskyard import Params, Result, Secret
from taskyard.catalogue.kit import Kit
from taskyard.catalogue.kits import load
from taskyard.catalogue.retry_spec import RuleSpec
from taskyard.catalogue.spec import MAX_SPEC_BYTES, SpecRefused, TaskSpec, spec_of
from taskyard.catalogue.types import TaskType
from taskyard.domain.errors import TimeLimitExceeded
from taskyard.domain.retry import AUTHENTICATION, RetryPolicy, RetryRule
from taskyard.settings import Settings

GOOD = {
    "name": "billing.invoice",
    "version": 3,
    "description": "Writes an invoice.",
    "kit": "billing",
    "queue": "reports",
    "params": {"type": "object", "properties": {"a": {"$ref": "#/$defs/a"}}, "$defs": {"a": {"type": "string"}}},
    "result": {},
    "retry": {
        "max_attempts": 4,
        "first_delay_seconds": 60.0,
        "max_delay_seconds": 600,
        "factor": 2.0,
        "jitter": True,
        "rules": [{"kind": "connection", "errors": ["ConnectionError"], "codes": ["x"], "first_delay_seconds": 5.0}],
        "retries_hard_limit": False,
    },
    "soft_timeout_seconds": 540.0,
    "hard_timeout_seconds": 600.0,
    "errors": {"too_dear": {"words": {"en": "It costs {amount}.", "de-AT": "Es kostet {amount}."}}},
    "phrases": {"customer": {"en": "the customer"}},
}
BUILT_IN = {task_type.name: task_type for task_type in load(Settings(diagnostics=True)).catalogue}


def nested(levels: int) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for _ in range(levels):
        made = {"items": made}
    return made


@pytest.mark.parametrize("name", BUILT_IN)
def test_every_built_in_type_becomes_a_spec_and_is_read_back_as_it_was(name: str) -> None:
    spec = spec_of(replace(BUILT_IN[name], errors={"x": {"en": "{a}"}}), kit=Kit("ours", ()))
    assert TaskSpec.parse(json.loads(json.dumps(spec.as_json()))) == spec
    assert (spec.name, spec.kit, spec.queue) == (name, "ours", BUILT_IN[name].queue)
    assert spec.retry.max_attempts == BUILT_IN[name].retry.max_attempts
    assert (spec.vocabulary.errors, spec.vocabulary.phrases) == ({"x": {"en": "{a}"}}, BUILT_IN[name].phrases)


def test_a_retry_policy_is_kept_as_data() -> None:
    echo = BUILT_IN["diagnostics.echo"]
    policy = RetryPolicy(
        retries=1,
        give_up_on=(TimeLimitExceeded,),
        max_delay=timedelta.max,
        rules=(RetryRule("io", (OSError,), ("disk_full",), first_delay=timedelta(seconds=2)), AUTHENTICATION),
    )
    made = spec_of(TaskType(name="a", description="", params=echo.params, result=echo.result, retry=policy)).retry
    assert (made.max_attempts, made.retries_hard_limit, made.max_delay_seconds) == (2, False, 31_536_000)
    assert made.rules == (
        RuleSpec(kind="io", errors=("OSError",), codes=("disk_full",), first_delay_seconds=2.0),
        RuleSpec(kind="authentication", errors=("AuthenticationFailed",), retried=False),
    )
    assert spec_of(echo).retry.retries_hard_limit


def test_the_digest_is_the_same_after_a_trip_through_jsonb_and_another_for_other_content() -> None:
    spec = TaskSpec.parse(GOOD)
    # jsonb orders keys by length, and may write 600.0 as 600.
    stored = json.loads(json.dumps(GOOD, sort_keys=True).replace("600.0", "600").replace("2.0", "2"))
    assert TaskSpec.parse(stored).digest == spec.digest
    assert TaskSpec.parse({**GOOD, "description": "Other."}).digest != spec.digest
    assert "digest" not in spec.as_json()


def test_fields_that_this_release_does_not_know_are_left_out() -> None:
    assert TaskSpec.parse({**GOOD, "limits": {"a": 1}}) == TaskSpec.parse(GOOD)


BAD: dict[str, Any] = {
    "null": None,
    "a list": [],
    "nothing": {},
    "1 MiB": {**GOOD, "description": "x" * 2**20},
    "many values": {**GOOD, "params": {"enum": [0] * 10**6}},
    "key that is no text": {**GOOD, 3: 4},
    "inner key that is no text": {**GOOD, "params": {"properties": {1: {}}}},
    "NaN": {**GOOD, "soft_timeout_seconds": math.nan},
    "NaN within": {**GOOD, "params": {"default": math.nan}},
    "infinity": {**GOOD, "params": {"maximum": math.inf}},
    "integer beyond 64 bits": {**GOOD, "params": {"maximum": 2**64}},
    "NUL": {**GOOD, "description": "a\x00"},
    "lone surrogate": {**GOOD, "description": "\ud800"},
    "an object": {**GOOD, "params": {"default": object()}},
    "deep": {**GOOD, "params": nested(40)},
    "very deep": {**GOOD, "params": nested(100_000)},
    "no name": {**GOOD, "name": ""},
    "name with a slash": {**GOOD, "name": "a/b"},
    "name with an escape": {**GOOD, "name": "a%20b"},
    "long name": {**GOOD, "name": "ü" * 65},
    "version 0": {**GOOD, "version": 0},
    "version 2**15": {**GOOD, "version": 2**15},
    "version true": {**GOOD, "version": True},
    "version text": {**GOOD, "version": "1"},
    "queue": {**GOOD, "queue": "lanes"},
    "params no schema": {**GOOD, "params": []},
    "params false type": {**GOOD, "params": {"type": "text"}},
    "negative time": {**GOOD, "hard_timeout_seconds": -1},
    "short soft limit": {**GOOD, "soft_timeout_seconds": 0.5},
    "short hard limit": {**GOOD, "hard_timeout_seconds": 0.5},
    "error code": {**GOOD, "errors": {"Not Snake": {"words": {}}}},
    "long error code": {**GOOD, "errors": {"a" * 101: {"words": {}}}},
    "template": {**GOOD, "errors": {"a": {"words": {"en": "{0.__class__}"}}}},
    "phrase": {**GOOD, "phrases": {"a": {"en": "{x!r}"}}},
    "language": {**GOOD, "errors": {"a": {"words": {"x" * 36: "a"}}}},
    "remote ref": {**GOOD, "params": {"$ref": "http://127.0.0.1:1/x"}},
    "file ref": {**GOOD, "params": {"$ref": "file:///etc/passwd"}},
    "relative ref": {**GOOD, "params": {"$ref": "other.json"}},
    "ref without target": {**GOOD, "params": {"$ref": "#/$defs/none"}},
    "ref to what is no schema": {**GOOD, "params": {"$ref": "#/default", "default": {"$ref": "http://x/"}}},
    "escaped ref": {**GOOD, "params": {"$ref": "#/%24defs/a", "$defs": {"a": {}}}},
    "$id": {**GOOD, "params": {"$id": "http://x/", "properties": {"a": {"$ref": "#/properties"}}}},
    "inner $id": {**GOOD, "params": {"properties": {"a": {"$id": "x", "$ref": "y"}}}},
    "unknown $schema": {**GOOD, "params": {"$schema": "http://127.0.0.1:1/meta"}},
    "old $schema": {**GOOD, "params": {"$schema": "http://json-schema.org/draft-04/schema#"}},
    "$dynamicRef": {**GOOD, "params": {"$dynamicRef": "#meta"}},
    "unevaluated": {**GOOD, "params": {"unevaluatedProperties": False}},
    "cycle": {**GOOD, "params": {"$ref": "#/$defs/a", "$defs": {"a": {"anyOf": [{"not": {"$ref": "#/$defs/a"}}]}}}},
    "lookaround": {**GOOD, "params": {"properties": {"a": {"pattern": "(?=a)b"}}}},
    "backreference": {**GOOD, "params": {"patternProperties": {r"(a)\1": {}}}},
    "huge pattern": {**GOOD, "params": {"pattern": r"(?:(?:\w{1,99}){1,99}){1,99}"}},
    "the result, too": {**GOOD, "result": {"$ref": "http://x/"}},
    "secret as a whole": {**GOOD, "params": {"anyOf": [{"writeOnly": True, "format": "password"}]}},
    "secret names": {**GOOD, "params": {"propertyNames": {"writeOnly": True, "format": "password"}}},
    "x-message": {**GOOD, "params": {"x-message": "x" * 301}},
}


@pytest.mark.parametrize("what", BAD)
def test_a_hostile_spec_is_refused_with_a_reason(what: str) -> None:
    assert TaskSpec.parse(GOOD).name == "billing.invoice"
    with pytest.raises(SpecRefused) as caught:
        TaskSpec.parse(BAD[what])
    assert 0 < len(caught.value.reason) < 500


def test_a_spec_may_be_as_large_as_64_kib_and_not_a_byte_larger() -> None:
    def of_size(size: int) -> dict[str, Any]:
        empty = {**GOOD, "params": {"description": ""}}
        return {**GOOD, "params": {"description": "x" * (size - len(orjson.dumps(empty)))}}

    assert TaskSpec.parse(of_size(MAX_SPEC_BYTES)).version == 3
    with pytest.raises(SpecRefused, match="65536"):
        TaskSpec.parse(of_size(MAX_SPEC_BYTES + 1))


@pytest.mark.parametrize(
    ("errors", "phrases"),
    [
        ({"x": {"en": "{a.b}"}}, {}),
        ({"x": {"en": "{a!r}"}}, {}),
        ({"Not A Code": {"en": "a"}}, {}),
        ({"x": {"no language!": "a"}}, {}),
        ({}, {"x": {"en": "{0}"}}),
    ],
)
def test_words_with_more_than_plain_names_are_refused_where_they_are_declared(errors: Any, phrases: Any) -> None:
    echo = replace(BUILT_IN["diagnostics.echo"], errors=errors, phrases=phrases)
    with pytest.raises(ValueError, match=r"diagnostics\.echo.*words of"):
        echo.check()


class Account(Params):
    token: Annotated[Secret[str], Field(examples=["an-example-token"])] = Secret("the-default-token")
    keys: dict[str, SecretStr] = Field(default={"a": SecretStr("the-default-key")})
    page: int = 3


def test_no_default_and_no_example_of_a_secret_leaves_the_worker() -> None:
    declared = TaskType(name="test.account", description="", params=Account, result=Result)
    text = orjson.dumps(spec_of(declared).as_json())
    assert b"default-token" not in text
    assert b"default-key" not in text
    assert b"example-token" not in text
    assert b'"default":3' in text


def test_what_a_worker_registers_of_secret_values_is_not_kept() -> None:
    data = spec_of(BUILT_IN["email.send"]).as_json()
    secret = {"type": "string", "format": "password", "default": "by-another-worker"}
    data["params"]["properties"]["token"] = secret
    assert b"by-another-worker" not in orjson.dumps(TaskSpec.parse(data).as_json())

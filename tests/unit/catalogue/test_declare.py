"""@task: a function becomes a task type by its annotations, and what cannot be one is refused at import."""

from __future__ import annotations

import asyncio
import datetime as dt
import importlib
import inspect
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Annotated, Any

import pytest
from pydantic import BaseModel, Field
from typing_extensions import TypedDict

from taskyard import Params, Result, Secret, task
from taskyard.catalogue.declare import NotDeclarable
from taskyard.catalogue.secrets import Cipher
from taskyard.catalogue.types import TaskType, type_of
from taskyard.domain.errors import HardTimeLimitExceeded
from taskyard.domain.retry import RetryPolicy
from taskyard.domain.tasks import Failed
from taskyard.running.trial import NotAdmitted, run_task
from tests.support.admission import stored

if TYPE_CHECKING:
    from taskyard.nowhere import Unknown  # type: ignore[import-not-found]

    from taskyard import TaskContext


class Order(Params):
    customer: str
    amount: float = 1.0


class Receipt(Result):
    number: str


class Shape(TypedDict):
    sides: int


@dataclass
class Point:
    x: int


@task("test.invoice", queue="reports", max_attempts=5)
def invoice(
    customer: str,
    amount: Annotated[float, Field(gt=0)] = 9.5,
    *,
    token: Secret[str] | None = None,
    context: TaskContext,
) -> dict[str, Any]:
    """Writes a customer's invoice.

    More that only authors read.
    """
    return {"customer": customer, "amount": amount, "attempt": context.attempt}


def declared(function: Callable[..., Any]) -> TaskType[Any, Any]:
    found = type_of(function)
    assert found is not None
    return found


# What the annotations say


def test_the_declaration_comes_from_the_signature_and_the_docstring() -> None:
    found = declared(invoice)
    assert (found.name, found.queue, found.retry.max_attempts) == ("test.invoice", "reports", 5)
    assert found.description == "Writes a customer's invoice."
    schema = found.params.model_json_schema()
    assert schema["required"] == ["customer"]
    assert schema["additionalProperties"] is False
    assert schema["properties"]["amount"] == {
        "default": 9.5,
        "exclusiveMinimum": 0,
        "title": "Amount",
        "type": "number",
    }
    assert schema["title"] == "InvoiceParams"


def test_each_parameter_is_passed_by_its_name() -> None:
    assert run_task(invoice, {"customer": "ada"}).result == {"customer": "ada", "amount": 9.5, "attempt": 1}


@pytest.mark.parametrize(
    "params", [{}, {"customer": 1}, {"customer": "ada", "amount": 0}, {"customer": "a", "more": 1}]
)
def test_parameters_that_do_not_fit_the_annotations_are_refused(params: dict[str, Any]) -> None:
    with pytest.raises(NotAdmitted):
        run_task(invoice, params)


def test_a_secret_parameter_is_sealed_in_the_ledger() -> None:
    kept = stored(declared(invoice), {"customer": "ada", "token": "hunter2"}, Cipher(["x" * 43 + "="]))
    assert set(kept["token"]) == {"$secret"}


def test_the_function_stays_callable_as_it_is() -> None:
    assert invoice("ada", 2.0, context=type("Context", (), {"attempt": 7})()) == {
        "customer": "ada",
        "amount": 2.0,
        "attempt": 7,
    }


def test_a_function_of_one_model_gets_the_whole_model() -> None:
    @task("test.whole")
    def whole(order: Order, *, context: Any) -> str:
        return f"{order.customer} {context.attempt}"

    assert declared(whole).params is Order
    assert run_task(whole, {"customer": "ada"}).result == "ada 1"


def test_the_context_may_come_second_or_not_at_all() -> None:
    @task("test.second")
    def second(params: Order, context: TaskContext) -> str:
        return context.name

    @task("test.alone")
    def alone(params: Order) -> str:
        return params.customer

    @task("test.nothing")
    def nothing() -> int:
        return 3

    assert declared(second).function is second, "nothing is put around it"
    assert run_task(second, {"customer": "ada"}).result == "test.second"
    assert run_task(alone, {"customer": "ada"}).result == "ada"
    assert run_task(nothing, {}).result == 3


def test_a_coroutine_function_stays_one() -> None:
    @task("test.async")
    async def wait(seconds: float, *, context: Any) -> int:
        await asyncio.sleep(seconds)
        return int(context.attempt)

    @task("test.sync")
    def at_once() -> None: ...

    assert (declared(wait).is_async, declared(at_once).is_async) == (True, False)
    assert run_task(wait, {"seconds": 0}).result == 1


def test_params_names_the_model_where_the_annotation_does_not() -> None:
    @task("test.given", params=Order)
    def given(order, context):  # type: ignore[no-untyped-def] # that is the point
        return order.customer

    assert run_task(given, {"customer": "ada"}).result == "ada"


@pytest.mark.parametrize(
    ("annotation", "returned", "stored"),
    [
        (Receipt, Receipt(number="1"), {"number": "1"}),
        (Receipt, {"number": "1"}, {"number": "1"}),
        (dict, {"at": dt.date(2026, 1, 2)}, {"at": "2026-01-02"}),
        (list[Point], [Point(1)], [{"x": 1}]),
        (Shape, {"sides": 3}, {"sides": 3}),
        (dt.timedelta, timedelta(seconds=90), "PT1M30S"),
        (None, None, None),
        (int | None, 5, 5),
    ],
)
def test_a_result_is_what_pydantic_can_serialise(annotation: Any, returned: Any, stored: Any) -> None:
    def function() -> Any:
        return returned

    function.__annotations__["return"] = annotation
    task("test.result")(function)
    assert run_task(function, {}).result == stored
    declared(function).result.model_json_schema(mode="serialization")


def test_a_result_that_does_not_fit_its_annotation_fails_the_task() -> None:
    @task("test.unfit")
    def unfit() -> list[int]:
        return ["x"]  # type: ignore[list-item]

    outcome = run_task(unfit, {}).outcome
    assert isinstance(outcome, Failed)
    assert outcome.fault.code == "result_invalid"


def test_without_an_annotation_a_result_is_any_json() -> None:
    @task("test.unannotated")
    def unannotated():  # type: ignore[no-untyped-def] # that is the point
        return {"a": [1]}

    assert run_task(unannotated, {}).result == {"a": [1]}


# Policies


def test_the_retry_policy_is_changed_by_what_is_given() -> None:
    @task(
        "test.retry", retry=RetryPolicy(jitter=False), max_attempts=2, retry_on=OSError, give_up_on=(ConnectionError,)
    )
    def retried() -> None: ...

    policy = declared(retried).retry
    assert (policy.max_attempts, policy.jitter) == (2, False)
    assert policy.is_retryable(OSError())
    assert not policy.is_retryable(ConnectionError())
    assert not policy.is_retryable(ValueError())
    assert not policy.is_retryable(HardTimeLimitExceeded())


@pytest.mark.parametrize(
    ("given", "soft", "hard"),
    [
        ({}, 540, 600),
        ({"hard_limit": timedelta(seconds=60)}, 54, 60),
        ({"hard_limit": timedelta(hours=2)}, 6480, 7200),
        ({"soft_limit": timedelta(seconds=30)}, 30, 600),
        ({"soft_limit": timedelta(hours=2)}, 7200, 8000),
        ({"soft_limit": timedelta(seconds=1), "hard_limit": timedelta(seconds=9)}, 1, 9),
        ({"hard_limit": timedelta(seconds=1)}, 1, 1),
        ({"hard_limit": timedelta(seconds=1.05)}, 1, 1.05),
    ],
)
def test_one_limit_gives_the_other(given: dict[str, Any], soft: float, hard: float) -> None:
    @task("test.limits", **given)
    def limited() -> None: ...

    found = declared(limited)
    assert (found.soft_limit.total_seconds(), found.hard_limit.total_seconds()) == (soft, hard)


def test_stored_parameters_of_a_lower_version_are_upgraded() -> None:
    def upgrade(params: dict[str, Any], version: int) -> dict[str, Any]:
        return {"customer": params["name"]} if version == 1 else params

    @task("test.versions", version=3, upgrade=upgrade)
    def versions(customer: str) -> str:
        return customer

    found = declared(versions)
    assert found.upgraded({"name": "ada"}, 1) == {"customer": "ada"}
    assert found.upgraded({"customer": "ada"}, 2) == {"customer": "ada"}
    assert found.upgraded({"name": "ada"}, 3) == {"name": "ada"}


# What cannot be declared


def unannotated(customer) -> None: ...  # type: ignore[no-untyped-def]


def starred(*names: str) -> None: ...


def with_keywords(**names: str) -> None: ...


def positional(customer: str, /) -> None: ...


def unresolved(customer: Unknown) -> None: ...


def misspelt(customer: Strng) -> None: ...  # type: ignore[name-defined] # noqa: F821


def reserved(schema: str) -> None: ...


def private(_customer: str) -> None: ...


def underscore(_: str) -> None: ...


def number_as_context(context: int) -> None: ...


def wrong_default(amount: int = None) -> None: ...  # type: ignore[assignment] # noqa: RUF013


def no_data(lock: Callable[[], ModuleType]) -> Iterator[ModuleType]:
    return iter([])


def no_schema(module: ModuleType) -> None: ...


def unserialisable() -> ModuleType:
    return sys


def context_of_another_name(name: str) -> Any:
    from taskyard import TaskContext

    def function(amount: int, **more: Any) -> None: ...

    function.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [
            inspect.Parameter("amount", inspect.Parameter.KEYWORD_ONLY, annotation=int),
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=TaskContext),
        ]
    )
    return function


def generator() -> Iterator[int]:
    yield 1


async def async_generator() -> AsyncIterator[int]:
    yield 1


@pytest.mark.parametrize(
    ("function", "why"),
    [
        (unannotated, "`customer` needs an annotation"),
        (starred, "passed by name"),
        (with_keywords, "passed by name"),
        (positional, "passed by name"),
        (unresolved, "'Unknown' is not defined.*TYPE_CHECKING"),
        (misspelt, "'Strng' is not defined"),
        (reserved, "`schema` cannot be the name"),
        (private, "`_customer` cannot be the name of a parameter: those begin with a letter"),
        (underscore, "`_` cannot be the name of a parameter: those begin with a letter"),
        (context_of_another_name("_"), "`_` is a TaskContext: that one comes by the name `context`"),
        (context_of_another_name("ctx"), "`ctx` is a TaskContext: that one comes by the name `context`"),
        (number_as_context, "`context` is the TaskContext: another parameter needs another name"),
        (wrong_default, "default of its parameter `amount`"),
        (no_schema, "its parameter `module`"),
        (unserialisable, "its result"),
        (generator, "generator"),
        (async_generator, "generator"),
        (Order, "functions"),
        (print, "functions"),
    ],
)
def test_what_cannot_be_declared_is_refused_in_a_sentence_that_names_the_type(function: Any, why: str) -> None:
    with pytest.raises(NotDeclarable, match=why) as caught:
        task("test.refused")(function)
    assert "'test.refused'" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "given",
    [
        {"name": ""},
        {"name": "x" * 129},
        {"queue": "a b"},
        {"version": 0},
        {"version": 2**15},
        {"max_attempts": 0},
        {"soft_limit": timedelta(seconds=9), "hard_limit": timedelta(seconds=9)},
    ],
)
def test_what_the_platform_could_not_store_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(NotDeclarable):

        @task(**{"name": "test.given", **given})
        def refused() -> None: ...


@pytest.mark.parametrize("limit", ["soft_limit", "hard_limit"])
def test_limits_below_a_second_are_refused_in_a_sentence(limit: str) -> None:
    given: dict[str, Any] = {limit: timedelta(milliseconds=999)}
    with pytest.raises(NotDeclarable, match=r"'test\.short'.*limits must be 1 s at least"):

        @task("test.short", **given)
        def short() -> None: ...


@pytest.mark.parametrize(
    "name",
    ["a/b", "a%2Fb", "a b", " a", "a\n", "a?b", "a#b", "a\\b", "..", ".", ".a", "é", "a;b", "a\u00a0b", "\u0661"],
)
def test_a_name_that_would_need_an_escape_in_an_address_is_refused_when_it_is_declared(name: str) -> None:
    with pytest.raises(NotDeclarable, match="cannot name a task type: a letter or digit, then"):
        task(name)(invoice)


def test_a_decorator_without_a_name_says_how_it_is_written() -> None:
    with pytest.raises(NotDeclarable, match=r'@task\("billing\.invoice"\)'):
        task(invoice)  # type: ignore[arg-type]


MODULE = """
from taskyard import task

@task("test.one")
def one() -> int:
    return 1

@task("{name}")
def {function}() -> int:
    return 2
"""


@pytest.mark.parametrize(("name", "function"), [("test.one", "two"), ("test.two", "one"), ("test.one", "one")])
def test_a_name_that_is_declared_twice_in_a_module_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, function: str
) -> None:
    module = f"twice_{name}_{function}".replace(".", "_")
    (tmp_path / f"{module}.py").write_text(MODULE.format(name=name, function=function))
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(NotDeclarable, match=rf"'{name}', {function}\(\): line 4 declares 'test\.one' by one\(\)"):
        importlib.import_module(module)


def test_a_module_may_be_executed_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "again_and_again.py").write_text(MODULE.format(name="test.two", function="two"))
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.reload(importlib.import_module("again_and_again"))


def test_any_model_of_pydantic_will_do() -> None:
    class Plain(BaseModel):
        value: int

    @task("test.plain")
    def plain(given: Plain) -> Plain:
        return given

    assert run_task(plain, {"value": 1}).result == {"value": 1}


def test_the_default_of_a_secret_is_a_secret() -> None:
    @task("test.default_secret")
    def connect(token: Secret[str] = "the-default") -> str:  # type: ignore[assignment]
        return token.reveal()

    declared = type_of(connect)
    assert declared is not None
    params = declared.params()
    assert "the-default" not in repr(params)
    assert params.token.reveal() == "the-default"

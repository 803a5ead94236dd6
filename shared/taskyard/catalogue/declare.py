"""@task: a function becomes a task type.

    @task("billing.invoice", queue="reports", max_attempts=5)
    def invoice(customer: str, amount: float, *, context) -> dict:
        \"\"\"Writes a customer's invoice.\"\"\"

Parameters and result come from the annotations, the description from the first line of the docstring. A function whose
only parameter is annotated with a Pydantic model gets the whole model. `context`, where the function has it, is the
TaskContext. The decorated function stays callable as it is.
"""

from __future__ import annotations

import functools
import inspect
import sys
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any, TypeVar

from pydantic import BaseModel, RootModel, TypeAdapter, ValidationError, create_model
from pydantic.errors import PydanticUserError
from pydantic.fields import FieldInfo

from ..domain.retry import RetryPolicy, RetryRule
from .types import HARD_LIMIT, SHORTEST_LIMIT, SOFT_LIMIT, Function, Params, TaskType, Upgrade, mark, type_of
from .words import Words

F = TypeVar("F", bound=Callable[..., Any])
Errors = type[BaseException] | tuple[type[BaseException], ...]

CONTEXT = "context"
# What a caller gives, and no context is; as text where annotations are not evaluated.
_PLAIN = (str, int, float, bool, dict, list)
_OF_PARAMETERS = (*_PLAIN, *(kind.__name__ for kind in _PLAIN))
_BY_NAME = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
# What building a model raises for an annotation that is no type of data.
_NO_SCHEMA = (PydanticUserError, TypeError, NameError, SyntaxError)


class NotDeclarable(TypeError):
    """The function cannot be a task; the message names the task type and says why."""


def task(
    name: str,
    *,
    queue: str = "default",
    version: int = 1,
    description: str | None = None,
    params: type[BaseModel] | None = None,
    result: Any = None,
    max_attempts: int | None = None,
    retry: RetryPolicy | None = None,
    retry_on: Errors | None = None,
    give_up_on: Errors | None = None,
    rules: Sequence[RetryRule] = (),
    soft_limit: timedelta | None = None,
    hard_limit: timedelta | None = None,
    errors: Mapping[str, Words] | None = None,
    phrases: Mapping[str, Words] | None = None,
    upgrade: Upgrade | None = None,
) -> Callable[[F], F]:
    """Declares the decorated function, sync or async, as the task type `name`.

    `params` and `result` replace what the annotations say. `max_attempts`, `retry_on` and `give_up_on` change the retry
    policy; `rules` stand before its own, and in place of those of the same kinds. Where only `hard_limit` is given, the
    soft limit is 90 % of it. Limits are a second at least.
    `upgrade(params, version)` changes stored parameters of a lower version.

    Raises NotDeclarable.
    """
    if not isinstance(name, str):
        raise NotDeclarable('@task needs the name of the task type: @task("billing.invoice")')
    local_names = sys._getframe(1).f_locals

    def declare(function: F) -> F:
        _check_function(name, function)
        signature = _Signature(name, function, local_names, params)
        soft, hard = _limits(soft_limit, hard_limit)
        task_type = TaskType(
            name=name,
            description=(inspect.getdoc(function) or "").partition("\n")[0] if description is None else description,
            params=signature.params_model(),
            result=signature.result_model(result),
            queue=queue,
            retry=_policy(name, retry, max_attempts, retry_on, give_up_on).with_rules(*rules),
            soft_limit=soft,
            hard_limit=hard,
            version=version,
            function=signature.adapted(),
            upgrade=upgrade,
            errors=dict(errors or {}),
            phrases=dict(phrases or {}),
        )
        try:
            task_type.check()
        except ValueError as e:
            raise NotDeclarable(str(e)) from None
        mark(function, task_type)
        return function

    return declare


class _Signature:
    """What a function takes and returns. Raises NotDeclarable."""

    def __init__(
        self, name: str, function: Callable[..., Any], local_names: Mapping[str, Any], model: type[BaseModel] | None
    ) -> None:
        self._name = name
        self._function = function
        self._local_names = local_names
        signature = inspect.signature(function)
        self._returns = signature.return_annotation
        self._takes_context = CONTEXT in signature.parameters
        parameters = [p for p in signature.parameters.values() if p.name != CONTEXT]
        for parameter in signature.parameters.values():
            if parameter.kind not in _BY_NAME:
                raise self._wrong(f"{parameter}: a task's parameters are passed by name")
        self._model = model
        self._whole: str | None = None  # the parameter that gets the whole model
        if model is not None:
            if len(parameters) != 1:
                raise self._wrong(f"with params=, it takes one parameter for {model.__name__}")
            self._whole = parameters[0].name
            self._hints: dict[str, Any] = {}
        else:
            self._hints = {p.name: self._hint(p) for p in parameters}
            self._check_context(signature)
            if len(parameters) == 1 and _is_model(hint := self._hints[parameters[0].name]):
                self._model, self._whole = hint, parameters[0].name
        self._defaults = {p.name: ... if p.default is p.empty else p.default for p in parameters}

    def params_model(self) -> type[BaseModel]:
        if self._model is not None:
            return self._model
        for parameter, hint in self._hints.items():
            self._check_parameter(parameter, hint)
        fields: dict[str, Any] = {name: (hint, self._defaults[name]) for name, hint in self._hints.items()}
        try:
            return create_model(self._title("Params"), __base__=Params, __module__=self._function.__module__, **fields)
        except _NO_SCHEMA as e:
            raise self._wrong(_brief(e)) from e

    def result_model(self, given: Any) -> type[BaseModel]:
        """Results that are no models are wrapped in one; any JSON where nothing is annotated."""
        hint = given
        if given is None:
            hint = Any if self._returns is inspect.Signature.empty else self._resolved("its result", self._returns)
        if _is_model(hint):
            model: type[BaseModel] = hint
            return model
        wrapper: Any = RootModel
        try:
            return create_model(self._title("Result"), __base__=wrapper[hint], __module__=self._function.__module__)
        except _NO_SCHEMA as e:
            raise self._wrong(f"its result: {_brief(e)}") from e

    def adapted(self) -> Function:
        """The function, to be called with the parameters' model and the context."""
        function, whole, takes_context = self._function, self._whole, self._takes_context
        names = tuple(self._hints)

        def arguments(params: Any, context: Any) -> dict[str, Any]:
            given = {name: getattr(params, name) for name in names} if whole is None else {whole: params}
            if takes_context:
                given[CONTEXT] = context
            return given

        if list(inspect.signature(function).parameters) == [whole, CONTEXT] and self._is_positional:
            return function
        if inspect.iscoroutinefunction(function):

            async def run_async(params: Any, context: Any) -> Any:
                return await function(**arguments(params, context))

            return functools.wraps(function)(run_async)

        def run(params: Any, context: Any) -> Any:
            return function(**arguments(params, context))

        return functools.wraps(function)(run)

    @property
    def _is_positional(self) -> bool:
        parameters = inspect.signature(self._function).parameters.values()
        return all(p.kind is p.POSITIONAL_OR_KEYWORD for p in parameters)

    def _hint(self, parameter: inspect.Parameter) -> Any:
        if parameter.annotation is parameter.empty:
            raise self._wrong(f"its parameter `{parameter.name}` needs an annotation")
        return self._resolved(f"its parameter `{parameter.name}`", parameter.annotation)

    def _resolved(self, what: str, annotation: Any) -> Any:
        # One at a time: the annotation of the context need not be importable.
        holder = types.SimpleNamespace(__annotations__={"it": annotation})
        try:
            names = self._function.__globals__
            return typing.get_type_hints(holder, names, dict(self._local_names), include_extras=True)["it"]
        except NameError as e:
            raise self._wrong(
                f"{what}: {e}; a type that is imported under TYPE_CHECKING only is not there when tasks run"
            ) from None
        except (TypeError, SyntaxError) as e:
            raise self._wrong(f"{what}: {_brief(e)}") from e

    def _check_context(self, signature: inspect.Signature) -> None:
        """The TaskContext has one name, and the name has one meaning."""
        for name, hint in self._hints.items():
            if isinstance(hint, type) and hint.__name__ == "TaskContext":
                raise self._wrong(f"its parameter `{name}` is a TaskContext: that one comes by the name `{CONTEXT}`")
        given = signature.parameters.get(CONTEXT)
        if given is not None and given.annotation in _OF_PARAMETERS:
            raise self._wrong(f"its parameter `{CONTEXT}` is the TaskContext: another parameter needs another name")

    def _check_parameter(self, name: str, hint: Any) -> None:
        if name.startswith("_"):
            raise self._wrong(f"`{name}` cannot be the name of a parameter: those begin with a letter")
        if hasattr(Params, name):
            raise self._wrong(f"`{name}` cannot be the name of a parameter: Pydantic's models use it themselves")
        try:
            adapter = TypeAdapter[Any](hint)
            default = self._defaults[name]
            if default is not ... and not isinstance(default, FieldInfo):
                adapter.validate_python(default)
        except ValidationError:
            raise self._wrong(f"the default of its parameter `{name}` does not fit the annotation") from None
        except _NO_SCHEMA as e:
            raise self._wrong(f"its parameter `{name}`: {_brief(e)}") from e

    def _title(self, suffix: str) -> str:
        return "".join(part.title() for part in self._function.__name__.split("_")) + suffix

    def _wrong(self, why: str) -> NotDeclarable:
        return NotDeclarable(f"the task type {self._name!r}, {self._function.__qualname__}(): {why}")


def _is_model(hint: Any) -> bool:
    return isinstance(hint, type) and issubclass(hint, BaseModel)


def _brief(error: Exception) -> str:
    return str(error).partition("\n")[0]


def _check_function(name: str, function: Any) -> None:
    if not inspect.isfunction(function):
        raise NotDeclarable(f"the task type {name!r}: @task is for functions, not for {function!r:.100}")
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise NotDeclarable(f"the task type {name!r}: {function.__qualname__}() is a generator: it has no result")
    if function.__qualname__ != function.__name__:
        return  # defined within another function: modules do not show it
    # The first of two would be lost without a word. A module that is executed again, as in a notebook, declares the
    # same function on the same line, or comes from another cell.
    for other in list(function.__globals__.values()):
        declared = type_of(other) if inspect.isfunction(other) else None
        if declared is None or not (declared.name == name or other.__name__ == function.__name__):
            continue
        theirs, ours = other.__code__, function.__code__
        if theirs.co_filename == ours.co_filename and theirs.co_firstlineno != ours.co_firstlineno:
            raise NotDeclarable(
                f"the task type {name!r}, {function.__qualname__}(): line {theirs.co_firstlineno} declares"
                f" {declared.name!r} by {other.__name__}(); both names must differ"
            )


def _policy(
    name: str,
    retry: RetryPolicy | None,
    max_attempts: int | None,
    retry_on: Errors | None,
    give_up_on: Errors | None,
) -> RetryPolicy:
    changes: dict[str, Any] = {}
    if max_attempts is not None:
        if max_attempts < 1:
            raise NotDeclarable(f"the task type {name!r}: max_attempts must be at least 1")
        changes["retries"] = max_attempts - 1
    for field, kinds in (("retry_on", retry_on), ("give_up_on", give_up_on)):
        if kinds is not None:
            changes[field] = kinds if isinstance(kinds, tuple) else (kinds,)
    return replace(retry or RetryPolicy(), **changes)


def _limits(soft: timedelta | None, hard: timedelta | None) -> tuple[timedelta, timedelta]:
    share = SOFT_LIMIT / HARD_LIMIT
    if hard is None:
        hard = HARD_LIMIT if soft is None else max(HARD_LIMIT, soft / share)
    return max(hard * share, SHORTEST_LIMIT) if soft is None else soft, hard

"""Cases of a test of which `make test` runs some, and `make test-long` the others."""

from collections.abc import Iterable

import pytest
from _pytest.mark import ParameterSet


def one_in(step: int, cases: Iterable[object], *, begin: int = 0) -> list[ParameterSet]:
    """For `parametrize`: each `step`-th case, from the one numbered `begin`, stays as it is; the others are `long`.
    Of lists in which kinds alternate, a step that has the same period would take one kind only."""
    return [case if n % step == begin else _long(case) for n, case in enumerate(map(_parameters, cases))]


def _parameters(case: object) -> ParameterSet:
    if isinstance(case, ParameterSet):
        return case
    return pytest.param(*case) if isinstance(case, tuple) else pytest.param(case)


def _long(case: ParameterSet) -> ParameterSet:
    return case._replace(marks=[*case.marks, pytest.mark.long])

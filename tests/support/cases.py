"""Cases of a test of which `make test` runs some, and `make test-long` the others."""

from collections.abc import Iterable

import pytest
from _pytest.mark import ParameterSet


def one_in(step: int, cases: Iterable[object]) -> list[ParameterSet]:
    """For `parametrize`: the first of each `step` cases stays as it is, the others are marked `long`."""
    return [case if n % step == 0 else _long(case) for n, case in enumerate(map(_parameters, cases))]


def _parameters(case: object) -> ParameterSet:
    if isinstance(case, ParameterSet):
        return case
    return pytest.param(*case) if isinstance(case, tuple) else pytest.param(case)


def _long(case: ParameterSet) -> ParameterSet:
    return case._replace(marks=[*case.marks, pytest.mark.long])

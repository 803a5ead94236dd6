"""The Helm chart renders what the kustomizations do, and says what is wrong with its values."""

from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest
import yaml

from .comparison import differences
from .rendering import CHART, KUSTOMIZE, helm, kustomize, resources, succeed

pytestmark = pytest.mark.kubernetes

LISTED: list[dict[str, Any]] = yaml.safe_load((Path(__file__).parent / "chart_differences.yaml").read_text("utf-8"))
PATTERNS = [line for entry in LISTED for line in entry["lines"]]


@pytest.fixture(scope="module")
def found(renderings: dict[str, str]) -> list[str]:
    """Every difference between the chart and the kustomizations that it stands for."""
    lines = differences(resources(kustomize(KUSTOMIZE / "base")), resources(helm()))
    return list(dict.fromkeys(lines))


def test_the_chart_renders_the_objects_of_kustomize_or_the_difference_is_listed(found: list[str]) -> None:
    unlisted = [line for line in found if not any(fnmatchcase(line, pattern) for pattern in PATTERNS)]
    assert unlisted == []


def test_each_listed_difference_is_one(found: list[str]) -> None:
    needless = [pattern for pattern in PATTERNS if not any(fnmatchcase(line, pattern) for line in found)]
    assert needless == []


def test_the_chart_passes_helm_s_linter() -> None:
    succeed("bin/helm", "lint", "--strict", CHART)

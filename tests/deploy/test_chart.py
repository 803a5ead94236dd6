"""The Helm chart renders what the kustomizations do, and says what is wrong with its values."""

from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest
import yaml

from .comparison import differences
from .rendering import CHART, helm, resources, succeed

pytestmark = pytest.mark.kubernetes

LISTED: list[dict[str, Any]] = yaml.safe_load((Path(__file__).parent / "chart_differences.yaml").read_text("utf-8"))
PATTERNS = [line for entry in LISTED for line in entry["lines"]]


# What the chart's values stand for: a rendering of conftest.py, and the options of Helm.
SAME = {
    "base": (),
    "base-ingress-keda-monitoring-storage": (
        "--set=ingress.enabled=true,keda.enabled=true,monitoring.enabled=true,sharedVolume.enabled=true",
    ),
    "base-keda-metrics-api": ("--set=keda.enabled=true,keda.source=metrics-api",),
    "overlay-production": ("--values=deploy/helm/production.yaml",),
}


@pytest.fixture(scope="module")
def found(renderings: dict[str, str]) -> list[str]:
    """Every difference between the chart and the kustomizations that it stands for."""
    pairs = [(renderings[name], helm(*options)) for name, options in SAME.items()]
    lines = [line for ours, theirs in pairs for line in differences(resources(ours), resources(theirs))]
    return list(dict.fromkeys(lines))


def test_the_chart_renders_the_objects_of_kustomize_or_the_difference_is_listed(found: list[str]) -> None:
    unlisted = [line for line in found if not any(fnmatchcase(line, pattern) for pattern in PATTERNS)]
    assert not unlisted, "\n".join(unlisted)


def test_each_listed_difference_is_one(found: list[str]) -> None:
    needless = [pattern for pattern in PATTERNS if not any(fnmatchcase(line, pattern) for line in found)]
    assert not needless, "\n".join(needless)


def test_the_chart_passes_helm_s_linter() -> None:
    succeed("bin/helm", "lint", "--strict", CHART)

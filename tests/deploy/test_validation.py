"""Every rendering fits the schemas and passes the linter."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from .conftest import WHOLE
from .rendering import EVERY_OPTION, KUSTOMIZE, ROOT, helm, run, succeed

# Ten seconds each, but for a machine that is busy with something else.
pytestmark = [pytest.mark.kubernetes, pytest.mark.timeout(400)]

EXCEPTIONS: dict[str, dict[str, Any]] = yaml.safe_load(
    (Path(__file__).parent / "lint_exceptions.yaml").read_text("utf-8")
)

FAULTY = """
{apiVersion: v1, kind: Service, metadata: {name: a}, spec: {portz: []}}
--- # 'portz' was unexpected
{apiVersion: v2, kind: Service, metadata: {name: a}}
--- # Couldn't find schema
{apiVersion: keda.sh/v1alpha1, kind: ScaledObject, metadata: {name: a},
 spec: {scaleTargetRef: {name: a}, minReplicas: 0, maxReplicaCount: "9", triggers: []}}
--- # .spec.minReplicas: unknown field
--- # .spec.maxReplicaCount: '9' was read as 9
{apiVersion: monitoring.coreos.com/v1, kind: PodMonitor, metadata: {name: a},
 spec: {selector: {}, podMetricsEndpoints: [{interval: soon}]}}
--- # .spec.podMetricsEndpoints.0.interval: String should match
"""


def test_every_rendering_fits_the_schemas_without_an_unknown_field(rendered_files: list[Path]) -> None:
    example = KUSTOMIZE / "secrets.example.yaml"
    succeed("venv/bin/python", "tests/deploy/schemas.py", example, *rendered_files)


def test_faults_are_found(tmp_path: Path) -> None:
    (tmp_path / "faulty.yaml").write_text(FAULTY)
    done = run("venv/bin/python", "tests/deploy/schemas.py", tmp_path / "faulty.yaml")
    assert done.returncode == 1
    expected = [line.partition("# ")[2] for line in FAULTY.splitlines() if "# " in line]
    found = done.stdout.splitlines()[:-1]
    assert len(found) == len(expected)
    assert all(fault in line for fault, line in zip(expected, found, strict=True)), done.stdout


def test_the_linter_finds_the_listed_exceptions_and_nothing_else(renderings: dict[str, str], tmp_path: Path) -> None:
    """In the renderings that have everything between them, in the chart with every option, and in the container files
    of the images."""
    shutil.copytree(ROOT / "deploy/docker", tmp_path / "docker")
    for name in WHOLE:
        (tmp_path / f"{name}.yaml").write_text(renderings[name])
    (tmp_path / "chart.yaml").write_text(helm(EVERY_OPTION))
    options = ["--framework", "kubernetes", "dockerfile", "--skip-download", "--quiet", "--output", "json"]
    done = run("venv/bin/checkov", *options, "--directory", tmp_path)
    reports = {report["check_type"]: report for report in json.loads(done.stdout)}
    assert reports.keys() == {"kubernetes", "dockerfile"}, done.stderr
    failed: dict[str, set[str]] = {}
    for report in reports.values():
        assert report["summary"]["passed"] > 0
        assert report["summary"]["parsing_errors"] == 0
        for check in report["results"]["failed_checks"]:
            failed.setdefault(check["check_id"], set()).add(check["resource"].rpartition(".")[2])
    wanted = {check: set(listed["fails_for"]) for check, listed in EXCEPTIONS.items()}
    unlisted, needless = beyond(failed, wanted), beyond(wanted, failed)
    assert not unlisted, f"mend these, or list them with a reason in lint_exceptions.yaml: {unlisted}"
    assert not needless, f"these no longer fail, strike them out of lint_exceptions.yaml: {needless}"


def beyond(some: dict[str, set[str]], others: dict[str, set[str]]) -> dict[str, set[str]]:
    """What is in `some` and not in `others`."""
    return {name: rest for name, values in some.items() if (rest := values - others.get(name, set()))}

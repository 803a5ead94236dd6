"""Manifests as `kubectl kustomize` and `helm template` render them, and the programs that look at them."""

import os
import subprocess
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
KUSTOMIZE = ROOT / "deploy/k8s"
CHART = ROOT / "deploy/helm/taskyard"
EVERY_OPTION = "--values=tests/deploy/everything.yaml"
TOOLS = ROOT / ".k8s-tools"

Resource = dict[str, Any]


def run(program: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """A program of .k8s-tools, with no cluster, no settings of this machine and its standard error apart."""
    path = TOOLS / program
    assert path.exists(), f"{path.relative_to(ROOT)} is missing: run `make k8s-tools`"
    environment = {"PATH": os.environ["PATH"], "HOME": str(TOOLS), "KUBECONFIG": os.devnull}
    return subprocess.run(
        [path, *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=380
    )


def succeed(program: str, *arguments: str | Path) -> str:
    done = run(program, *arguments)
    assert done.returncode == 0, f"{program} {' '.join(map(str, arguments))}\n{done.stdout}{done.stderr}"
    return done.stdout


def resources(text: str) -> list[Resource]:
    return [resource for resource in yaml.load_all(text, Loader=yaml.CSafeLoader) if resource]


@cache
def kustomize(directory: Path) -> str:
    return succeed("bin/kubectl", "kustomize", directory)


def kustomize_with(components: Iterable[str], directory: Path) -> str:
    """The base with components, from a kustomization that is written to `directory`."""
    directory.mkdir()
    up = os.path.relpath(KUSTOMIZE, directory)
    kustomization = {"resources": [f"{up}/base"], "components": [f"{up}/components/{name}" for name in components]}
    (directory / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
    return kustomize(directory)


@cache
def helm(*options: str) -> str:
    """The chart under the name and in the namespace that the base has."""
    return succeed("bin/helm", "template", "taskyard", CHART, "--namespace", "taskyard", *options)

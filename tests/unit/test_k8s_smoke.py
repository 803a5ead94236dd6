"""Which clusters the smoke run of the manifests leaves alone, and what it makes of pods."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def smoke(kubectl: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    others = {name: value for name, value in os.environ.items() if not name.startswith(("KUBE", "K8S_"))}
    return subprocess.run(
        [ROOT / "deploy/k8s-smoke.sh"],
        env={**others, "KUBECTL": str(kubectl), **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.fixture
def kubectl(tmp_path: Path) -> Path:
    """Says that the context is `shop`, whose one node has nothing on it, and writes down whatever else it is asked."""
    program = tmp_path / "kubectl"
    program.write_text(
        f"""#!/bin/sh
case "$*" in
    "config current-context") echo shop ;;
    *"get nodes"*) echo one; echo "$*" >>{tmp_path}/asked ;;
    *) echo "$*" >>{tmp_path}/asked ;;
esac
"""
    )
    program.chmod(0o755)
    return program


def test_the_cluster_of_a_person_s_own_configuration_is_never_used(kubectl: Path) -> None:
    done = smoke(kubectl)
    assert (done.returncode, done.stdout) == (3, "")
    assert "KUBECONFIG is not set" in done.stderr
    assert not (kubectl.parent / "asked").exists()


def test_a_cluster_whose_name_does_not_say_test_is_refused_unless_it_is_named(kubectl: Path) -> None:
    done = smoke(kubectl, KUBECONFIG="/tmp/shop")
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.endswith("say so: K8S_SMOKE_CONTEXT=shop\n")
    assert not (kubectl.parent / "asked").exists()
    # Named, it gets as far as the namespaces, which this one claims to have.
    done = smoke(kubectl, KUBECONFIG="/tmp/shop", K8S_SMOKE_CONTEXT="shop")
    assert done.returncode == 3
    assert "there is a namespace 'taskyard' already" in done.stderr
    assert "delete" not in (kubectl.parent / "asked").read_text()


def pod(component: str, started: str, *, restarts: int = 0, waited: int = 0) -> dict[str, object]:
    """One that runs since `started`; a migration is one that ran then, and succeeded."""
    done = {"terminated": {"exitCode": waited, "startedAt": started, "finishedAt": started}}
    state = done if component == "migrate" else {"running": {"startedAt": started}}
    first = {"name": "wait-for-schema", "restartCount": 0, "state": done}
    own = {"name": component, "restartCount": restarts, "state": state}
    labels = {"app.kubernetes.io/component": component}
    status = {"initContainerStatuses": [first], "containerStatuses": [own]}
    return {"metadata": {"name": f"{component}-x", "labels": labels}, "status": status}


def asked(question: str, *pods: dict[str, object]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, ROOT / "deploy/k8s_pods.py", question],
        input=json.dumps({"items": pods}),
        capture_output=True,
        text=True,
        check=False,
        timeout=20,
    )


MIGRATED = pod("migrate", "2026-01-01T00:00:10Z")
API = pod("api", "2026-01-01T00:00:12Z")


def test_a_service_that_did_not_wait_for_the_migration_is_told() -> None:
    assert (
        asked("order", MIGRATED, API).stdout == "1 pods waited; the first went on 2 s after the migration was begun\n"
    )
    early = asked("order", MIGRATED, API, pod("worker", "2026-01-01T00:00:09Z"))
    assert early.returncode == 1
    assert early.stderr.startswith("worker-x was started at")
    assert "api-x has not waited" in asked("order", MIGRATED, pod("api", "2026-01-01T00:00:12Z", waited=1)).stderr
    assert asked("order", API).returncode == 1


def test_a_container_that_was_started_again_is_told() -> None:
    assert asked("restarts", MIGRATED, API).returncode == 0
    again = asked("restarts", pod("redis", "2026-01-01T00:00:12Z", restarts=2))
    assert (again.returncode, again.stderr) == (1, "started again: redis-x/redis 2 times\n")

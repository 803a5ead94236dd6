"""The Helm chart renders what the kustomizations do, and says what is wrong with its values."""

from fnmatch import fnmatchcase
from pathlib import Path
from shutil import copytree
from typing import Any

import pytest
import yaml

from .comparison import differences
from .manifests import Manifests, matches, sources_of
from .rendering import CHART, EVERY_OPTION, helm, resources, run, succeed

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
    for options in ((), (EVERY_OPTION,)):
        succeed("bin/helm", "lint", "--strict", CHART, *options)


def test_one_more_worker_is_one_more_entry() -> None:
    manifests = Manifests(helm(EVERY_OPTION))
    for kind in ("Deployment", "ServiceAccount", "PodDisruptionBudget", "ScaledObject"):
        assert "worker-mail" in manifests.named(kind), kind
    [container] = manifests.named("Deployment")["worker-mail"]["spec"]["template"]["spec"]["containers"]
    assert container["args"] == ["run", "--queues", "mail"]
    assert container["image"] == "registry.example.org/taskyard/worker:1.2.3"
    labels = {"app.kubernetes.io/name": "taskyard", "app.kubernetes.io/component": "worker-mail"}
    reaching = [
        policy["metadata"]["name"]
        for policy in manifests.of_kind("NetworkPolicy")
        if matches(policy["spec"]["podSelector"], labels)
    ]
    assert {"egress-redis", "egress-postgresql", "egress-tasks", "ingress-metrics"} <= set(reaching)


def test_the_chart_makes_the_secrets_whose_values_are_given_and_no_other() -> None:
    [secret] = Manifests(helm(EVERY_OPTION)).of_kind("Secret")
    assert secret["metadata"]["name"] == "servers"
    assert secret["stringData"] == {"TASKYARD_DATABASE_URL": "postgresql://taskyard:x@db/taskyard"}
    for name, _, pod in Manifests(helm(EVERY_OPTION)).pods():
        if name == "console":  # it has nothing to do with the servers
            continue
        assert "servers" in sources_of(pod["initContainers"][0], "secret")


def test_alerts_lead_to_the_runbooks_of_the_values_wherever_the_rules_lead(tmp_path: Path) -> None:
    chart = tmp_path / "taskyard"
    copytree(CHART, chart)
    rules = chart / "files/rules.yaml"
    rules.write_text(rules.read_text("utf-8").replace("https://taskyard.example/docs", "https://git.example.org/a/b"))
    for value, expected in (
        ("", "https://git.example.org/a/b/runbooks"),
        ("https://wiki.example.org/$1", "https://wiki.example.org/$1"),
    ):
        options = f"--set=monitoring.enabled=true,monitoring.runbooks={value}"
        [rule] = Manifests(succeed("bin/helm", "template", "taskyard", chart, options)).of_kind("PrometheusRule")
        alerts = [each for group in rule["spec"]["groups"] for each in group["rules"] if "alert" in each]
        assert {each["annotations"]["runbook_url"] for each in alerts} == {
            f"{expected}/{each['alert']}.md" for each in alerts
        }


def test_a_changed_setting_replaces_the_pods_that_read_it_and_no_others() -> None:
    def checksums(*options: str) -> dict[str, str]:
        deployments = Manifests(helm(*options)).named("Deployment")
        return {
            name: each["spec"]["template"]["metadata"]["annotations"]["checksum/settings"]
            for name, each in deployments.items()
        }

    before, after = checksums(), checksums("--set=config.worker.TASKYARD_CACHE_URL=redis://cache")
    assert {name for name in before if before[name] != after[name]} == {"worker", "worker-geo"}


@pytest.mark.parametrize(
    ("value", "complaint"),
    [
        ("api.replica=2", "at '/api': additional properties 'replica' not allowed"),
        ("api.replicas=two", "at '/api/replicas': got string, want integer"),
        ("workers.worker.queues=default", "at '/workers/worker/queues': got string, want array"),
        ("workers.mail.image=worker", "at '/workers/mail': missing properties 'queues', 'replicas'"),
        ("workers.api.image=worker", "invalid propertyName 'api'"),
        ("keda.source=redis", "at '/keda/source': value must be one of 'prometheus', 'metrics-api'"),
        ("ingress.host=https://x.org", "at '/ingress/host': 'https://x.org' does not match"),
        ("secrets.mail.values.A=1", "at '/secrets/mail/values/A': got number, want string"),
        ("config.worker.TASKYARD_DRAIN_SECONDS=soon", "TASKYARD_DRAIN_SECONDS': 'soon' does not match"),
    ],
)
def test_a_wrong_value_is_refused_by_its_name(value: str, complaint: str) -> None:
    done = run("bin/helm", "template", "taskyard", CHART, "--set", value)
    assert done.returncode == 1
    assert complaint in done.stderr


def test_the_notes_lead_to_a_first_task() -> None:
    notes = succeed("bin/helm", "install", "taskyard", CHART, "--namespace=here", "--dry-run=client").partition(
        "\nNOTES:\n"
    )[2]
    for wanted in (
        "taskyard-secret-keys\n",
        "-n here wait --for=condition=complete job/migrate-1 ",
        "keys create ",
        "/tasks",
    ):
        assert wanted in notes
    assert "taskyard-tls" not in notes
    # Only what is missing.
    notes = succeed("bin/helm", "install", "taskyard", CHART, "--dry-run=client", EVERY_OPTION)
    assert "\n  servers\n" not in notes
    assert "\n  taskyard-tls\n  taskyard-keda\n" in notes
    assert "TASKYARD_URL=https://taskyard.example.org" in notes


def test_a_pooler_and_the_server_behind_it_are_both_let_through() -> None:
    policies = Manifests(helm("--set=networkPolicies.postgresql.ports={5432,6432}")).named("NetworkPolicy")
    [rule] = policies["egress-postgresql"]["spec"]["egress"]
    assert [each["port"] for each in rule["ports"]] == [5432, 6432]

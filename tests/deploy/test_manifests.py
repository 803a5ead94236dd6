"""What the Kubernetes manifests promise, seen in every overlay and in the base with all components."""

import json
import re

import pytest
import yaml

from tests.support.deployed_settings import OF_BOTO3, names_of_settings

from .conftest import WHOLE
from .manifests import Manifests, containers_of, listens, matches, sources_of
from .rendering import ROOT, kustomize, resources

pytestmark = pytest.mark.kubernetes

OURS = ("api", "console", "migrate", "scheduler", "worker", "worker-geo")
OTHERS = {"postgres", "redis", "smtp-sink"}  # of the components, and of development

# That a process has touched its file, ever and of late.
TOUCHED = (
    ["sh", "-c", 'test -e "$TASKYARD_HEALTH_FILE"'],
    ["sh", "-c", 'test -n "$(find "$TASKYARD_HEALTH_FILE" -newermt "15 seconds ago")"'],
)

# What a service may be trusted with: the Secrets that its pods name, and no other.
SECRETS = {
    "taskyard-database": {"api", "migrate", "scheduler", "worker", "worker-geo"},
    "taskyard-task-database": {"migrate", "worker", "worker-geo"},
    "taskyard-migrate-database": {"migrate"},
    "taskyard-listen": {"scheduler"},
    "taskyard-redis": {"api", "scheduler", "worker", "worker-geo"},
    "taskyard-secret-keys": {"api", "worker", "worker-geo"},
    "taskyard-storage": {"api", "scheduler", "worker", "worker-geo"},
    "taskyard-bootstrap-key": {"migrate"},
    "taskyard-console": {"console"},
    "taskyard-mail": {"worker"},
    "taskyard-providers": {"worker"},
    "taskyard-google": {"worker-geo"},
}


EXAMPLE = Manifests((ROOT / "deploy/k8s/secrets.example.yaml").read_text("utf-8"))


@pytest.fixture(scope="session", params=WHOLE)
def manifests(request: pytest.FixtureRequest, renderings: dict[str, str]) -> Manifests:
    return Manifests(renderings[request.param])


def test_the_services_are_those_of_the_architecture(manifests: Manifests) -> None:
    assert {name for name, _, _ in manifests.pods()} - OTHERS == set(OURS)


def test_replicas_are_those_of_the_design_or_an_autoscaler_s(manifests: Manifests) -> None:
    """Each apply of a manifest with replicas would take back what the autoscaler decided."""
    deployments, autoscalers = (
        manifests.named("Deployment"),
        manifests.of_kind("HorizontalPodAutoscaler", "ScaledObject"),
    )
    scaled = {each["spec"]["scaleTargetRef"]["name"] for each in autoscalers}
    for name, replicas in {"api": 2, "console": 2, "worker": 3, "worker-geo": 1, "scheduler": 2}.items():
        assert deployments[name]["spec"].get("replicas") == (None if name in scaled else replicas), name


def test_every_container_is_restricted(manifests: Manifests) -> None:
    for name, _, pod in manifests.pods():
        assert pod["automountServiceAccountToken"] is False, name
        assert pod["securityContext"]["runAsNonRoot"] is True, name
        assert pod["securityContext"]["runAsUser"] >= 1, name
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert not pod.keys() & {"hostNetwork", "hostPID", "hostIPC"}, name
        assert not [volume for volume in pod.get("volumes", ()) if "hostPath" in volume], name
        for container in containers_of(pod):
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "capabilities": {"drop": ["ALL"]},
                "readOnlyRootFilesystem": True,
            }, (name, container["name"])


def test_liveness_asks_neither_postgresql_nor_redis(manifests: Manifests) -> None:
    """/health/live says that the event loop turns; the other services touch a file in their main loop."""
    for name, _, pod in manifests.pods():
        if name in OTHERS | {"migrate"}:
            continue
        [container] = pod["containers"]
        for probe in (container["livenessProbe"], container["startupProbe"]):
            if name in {"api", "console"}:
                assert probe["httpGet"] == {"path": "/health/live", "port": "http"}
            else:
                assert probe["exec"]["command"] in TOUCHED, name
        assert container["readinessProbe"]


def test_memory_and_disk_are_bounded(manifests: Manifests) -> None:
    for name, _, pod in manifests.pods():
        for container in containers_of(pod):
            for kind in ("requests", "limits"):
                assert container["resources"][kind].keys() >= {"memory", "ephemeral-storage"}, (name, kind)
            assert "cpu" in container["resources"]["requests"], name
        for volume in pod.get("volumes", ()):
            assert "emptyDir" not in volume or volume["emptyDir"].get("sizeLimit"), (name, volume["name"])


def plain(name: str) -> str:
    """Without the hash that a generator appends."""
    return re.sub(r"-[a-z0-9]{10}$", "", name)


def test_each_service_gets_only_the_secrets_it_needs(manifests: Manifests) -> None:
    holders: dict[str, set[str]] = {}
    for name, _, pod in manifests.pods():
        mounted = {volume["secret"]["secretName"] for volume in pod.get("volumes", ()) if "secret" in volume}
        given = mounted.union(*(sources_of(container, "secret") for container in containers_of(pod)))
        for secret in given if name in OURS else ():
            holders.setdefault(plain(secret), set()).add(name)
    assert holders == SECRETS


def test_migrate_reaches_postgresql_itself_where_the_services_have_a_pooler(manifests: Manifests) -> None:
    """Of two sources with the same variable the later one holds."""
    [migrate] = [pod for name, _, pod in manifests.pods() if name.startswith("migrate")]
    for container in containers_of(migrate):
        last = container["envFrom"][-1]
        assert last == {"secretRef": {"name": "taskyard-migrate-database", "optional": True}}, container["name"]


def test_the_example_has_every_secret_that_something_reads(renderings: dict[str, str]) -> None:
    texts = "".join(renderings[name] for name in WHOLE)
    assert [name for name in EXAMPLE.named("Secret") if f": {name}\n" not in texts] == []
    assert set(EXAMPLE.named("Secret")) >= SECRETS.keys()


def test_variables_are_settings_of_the_services_that_get_them(manifests: Manifests) -> None:
    maps = {**EXAMPLE.named("Secret"), **manifests.named("ConfigMap"), **manifests.named("Secret")}
    for name, _, pod in manifests.pods():
        known = names_of_settings(of_kits=name.startswith("worker")) | OF_BOTO3
        for container in containers_of(pod) if name in OURS else ():
            given = {each["name"] for each in container.get("env", ())}
            for source in sources_of(container, "configMap") | sources_of(container, "secret"):
                given |= {**maps[source].get("data", {}), **maps[source].get("stringData", {})}.keys()
            assert given <= known, (name, container["name"], given - known)


def test_images_are_those_of_compose_in_the_same_version(manifests: Manifests) -> None:
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))["services"]
    expected = {name: re.sub(r"\$\{\w+:-(.*)\}", r"\1", service["image"]) for name, service in compose.items()}
    for name, _, pod in manifests.pods():
        for container in containers_of(pod):
            # An overlay names its own registry.
            assert container["image"].endswith(expected[name]), (name, container["image"])


def test_no_secret_has_a_value_outside_development(renderings: dict[str, str]) -> None:
    for rendering, text in renderings.items():
        secrets = Manifests(text).of_kind("Secret")
        assert rendering == "overlay-dev" or secrets == [], rendering


def test_every_name_leads_somewhere(manifests: Manifests) -> None:
    """Service accounts, ConfigMaps, claims, selectors, targets and ports: what one object says of another."""
    accounts, maps = manifests.named("ServiceAccount"), manifests.named("ConfigMap")
    claims = manifests.named("PersistentVolumeClaim")
    for _, _, pod in manifests.pods():
        assert pod.get("serviceAccountName", "default") in {"default", *accounts}
        assert set().union(*(sources_of(container, "configMap") for container in containers_of(pod))) <= maps.keys()
        for volume in pod.get("volumes", ()):
            assert "persistentVolumeClaim" not in volume or volume["persistentVolumeClaim"]["claimName"] in claims
    for service in manifests.of_kind("Service"):
        pods = manifests.selected_by({"matchLabels": service["spec"]["selector"]})
        assert pods
        assert all(
            listens(pod, port.get("targetPort", port["port"])) for port in service["spec"]["ports"] for pod in pods
        )
    for resource in manifests.of_kind("PodDisruptionBudget", "PodMonitor", "Deployment", "StatefulSet"):
        assert manifests.selected_by(resource["spec"]["selector"]), resource["metadata"]["name"]
    for scaled in manifests.of_kind("HorizontalPodAutoscaler", "ScaledObject"):
        assert scaled["spec"]["scaleTargetRef"]["name"] in manifests.named("Deployment")
    for ingress in manifests.of_kind("Ingress"):
        for rule in ingress["spec"]["rules"]:
            for path in rule["http"]["paths"]:
                target = path["backend"]["service"]
                ports = manifests.named("Service")[target["name"]]["spec"]["ports"]
                assert target["port"].get("name") in {port["name"] for port in ports}


def test_every_pod_that_stays_is_scraped(manifests: Manifests) -> None:
    for monitor in manifests.of_kind("PodMonitor"):
        ports = [endpoint["port"] for endpoint in monitor["spec"]["podMetricsEndpoints"]]
        scraped = [
            name
            for name, labels, pod in manifests.pods()
            if matches(monitor["spec"]["selector"], labels) and all(listens(pod, port) for port in ports)
        ]
        assert set(scraped) == set(OURS) - {"migrate"}


def test_what_network_policies_let_through_is_listened_for(manifests: Manifests) -> None:
    outside = {53, 443, 5432, 6379}  # the cluster's DNS, buckets, and the servers where they are no components
    for policy in manifests.of_kind("NetworkPolicy"):
        name, spec = policy["metadata"]["name"], policy["spec"]
        pods = manifests.selected_by(spec["podSelector"])
        assert pods, f"{name} selects no pod"
        for rule in spec.get("ingress", ()):
            for port in rule.get("ports", ()):
                assert any(listens(pod, port["port"]) for pod in pods), (name, port)
        for rule in spec.get("egress", ()):
            ours = [each["podSelector"] for each in rule.get("to", ()) if each.keys() == {"podSelector"}]
            for port in rule.get("ports", ()):
                listeners = [pod for selector in ours for pod in manifests.selected_by(selector)]
                assert any(listens(pod, port["port"]) for pod in listeners) or port["port"] in outside, (name, port)


@pytest.mark.parametrize("directory", ["k8s-smoke", "k8s-1.20"])
def test_what_the_smoke_run_applies_is_the_base_with_servers(directory: str) -> None:
    applied = Manifests(kustomize(ROOT / "tests/deploy" / directory))
    assert {name for name, _, _ in applied.pods()} == {*OURS, "postgres", "redis"}


def test_nothing_is_reached_or_called_without_a_rule(manifests: Manifests) -> None:
    policy = manifests.named("NetworkPolicy")["default-deny"]
    assert policy["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}


def test_a_pod_is_given_the_time_that_it_drains(manifests: Manifests) -> None:
    maps = manifests.named("ConfigMap")
    for name, _, pod in manifests.pods():
        for container in pod["containers"]:
            for source in sources_of(container, "configMap"):
                seconds = float(maps[source]["data"].get("TASKYARD_DRAIN_SECONDS", 0))
                assert pod.get("terminationGracePeriodSeconds", 30) >= seconds + 10 or not seconds, name


def test_what_the_example_of_secrets_leaves_open_is_refused_or_counts_as_missing() -> None:
    values = [pair for each in EXAMPLE.of_kind("Secret") for pair in each["stringData"].items()]
    # The file is read only where TASKYARD_SELECTION_GOOGLE_KEY_FILE names it.
    assert [pair for pair in values if pair[1] and "development-only" not in pair[1]] == [("key.json", "{}")]


def test_grafanas_sidecar_finds_each_dashboard_and_kubectl_can_apply_it() -> None:
    """What `kubectl apply` last applied is an annotation; an object's may have 256 KiB."""
    made = resources(kustomize(ROOT / "deploy/monitoring/grafana/dashboards"))
    labels = {"grafana_dashboard": "1"}
    assert [(one["kind"], one["metadata"]["labels"]) for one in made] == [("ConfigMap", labels)] * 5
    assert all(len(json.dumps(one)) < 256 * 1024 for one in made)

"""One rendering, and the questions that tests ask of it."""

from collections.abc import Iterator
from typing import Any

from .rendering import Resource, resources


def pod_of(resource: Resource) -> dict[str, Any] | None:
    """The pod's specification of what makes pods."""
    template = resource.get("spec", {}).get("template", {})
    return template.get("spec") if isinstance(template, dict) and "spec" in template else None


def containers_of(pod: dict[str, Any]) -> list[dict[str, Any]]:
    return [*pod.get("initContainers", ()), *pod["containers"]]


def sources_of(container: dict[str, Any], kind: str) -> set[str]:
    """The ConfigMaps (kind: configMap) or Secrets (kind: secret) that a container's variables come from."""
    whole = {each[f"{kind}Ref"]["name"] for each in container.get("envFrom", ()) if f"{kind}Ref" in each}
    single = [each.get("valueFrom", {}).get(f"{kind}KeyRef") for each in container.get("env", ())]
    return whole | {each["name"] for each in single if each}


class Manifests:
    """One rendering, with the questions that the tests ask of it."""

    def __init__(self, text: str) -> None:
        self.all = resources(text)

    def of_kind(self, *kinds: str) -> list[Resource]:
        return [resource for resource in self.all if resource["kind"] in kinds]

    def named(self, kind: str) -> dict[str, Resource]:
        return {str(resource["metadata"]["name"]): resource for resource in self.of_kind(kind)}

    def pods(self) -> Iterator[tuple[str, dict[str, str], dict[str, Any]]]:
        """The name, the labels and the pod's specification of everything that makes pods."""
        for resource in self.all:
            if (pod := pod_of(resource)) is not None:
                labels = resource["spec"]["template"]["metadata"]["labels"]
                yield resource["metadata"]["name"], labels, pod

    def selected_by(self, selector: dict[str, Any]) -> list[dict[str, Any]]:
        return [pod for _, labels, pod in self.pods() if matches(selector, labels)]


def matches(selector: dict[str, Any], labels: dict[str, str]) -> bool:
    wanted = selector.get("matchLabels", {}).items() <= labels.items()
    expressions = selector.get("matchExpressions", ())
    assert all(expression["operator"] == "In" for expression in expressions)
    return wanted and all(labels.get(each["key"]) in each["values"] for each in expressions)


def listens(pod: dict[str, Any], port: str | int) -> bool:
    ports = [port for container in pod["containers"] for port in container.get("ports", ())]
    return port in {each["containerPort"] for each in ports} | {each.get("name") for each in ports}

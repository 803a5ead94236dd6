"""Validate rendered manifests against the schemas of Kubernetes and of the custom resources, unknown fields refused:

    .k8s-tools/venv/bin/python tests/deploy/schemas.py FILE.yaml ...

Runs in the environment of `requirements/k8s-check.txt`. Prints a line for each fault, and ends with 1 after any.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import yaml
from cloudcoil.models.keda import v1alpha1 as keda
from cloudcoil.models.prometheus_operator import v1 as monitoring
from pydantic import ValidationError

KUBERNETES = kubernetes_validate.latest_version()
CUSTOM = {
    ("keda.sh/v1alpha1", "ScaledObject"): keda.ScaledObject,
    ("keda.sh/v1alpha1", "TriggerAuthentication"): keda.TriggerAuthentication,
    ("monitoring.coreos.com/v1", "PodMonitor"): monitoring.PodMonitor,
    ("monitoring.coreos.com/v1", "ServiceMonitor"): monitoring.ServiceMonitor,
    ("monitoring.coreos.com/v1", "PrometheusRule"): monitoring.PrometheusRule,
}


def unread(given: Any, read: Any, path: str = "") -> Iterator[str]:
    """The places of `given` that a model did not read as they stand there: unknown fields, numbers in quotes."""
    if isinstance(given, dict) and isinstance(read, dict):
        for name, value in given.items():
            if name in read:
                yield from unread(value, read[name], f"{path}.{name}")
            else:
                yield f"{path}.{name}: unknown field"
    elif isinstance(given, list) and isinstance(read, list) and len(given) == len(read):
        for index, (one, other) in enumerate(zip(given, read, strict=True)):
            yield from unread(one, other, f"{path}.{index}")
    elif given != read or type(given) is not type(read):
        yield f"{path}: {given!r} was read as {read!r}"


def faults_of_custom(resource: dict[str, Any]) -> Iterator[str]:
    model = CUSTOM[resource["apiVersion"], resource["kind"]]
    try:
        read = model.model_validate(resource)
    except ValidationError as e:
        yield from (f".{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in e.errors())
        return
    yield from unread(resource, json.loads(read.model_dump_json(by_alias=True, exclude_unset=True)))


def faults(resource: dict[str, Any]) -> Iterator[str]:
    if (resource["apiVersion"], resource["kind"]) in CUSTOM:
        yield from faults_of_custom(resource)
        return
    try:
        kubernetes_validate.validate(resource, KUBERNETES, strict=True)
    except kubernetes_validate.ValidationError as e:
        yield f".{'.'.join(map(str, e.path))}: {e.message}"
    except kubernetes_validate.SchemaNotFoundError as e:
        yield f": {e.message}"


def main(paths: list[str]) -> int:
    known: dict[str, list[str]] = {}
    failed = False
    for path in paths:
        for resource in filter(None, yaml.load_all(Path(path).read_text("utf-8"), Loader=yaml.CSafeLoader)):
            text = json.dumps(resource, sort_keys=True)
            if text not in known:  # most are in every rendering
                known[text] = list(faults(resource))
            for fault in known[text]:
                failed = True
                print(f"{path}: {resource['kind']}/{resource['metadata']['name']}{fault}")
    print(f"{len(paths)} files, {len(known)} different resources against Kubernetes {KUBERNETES}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

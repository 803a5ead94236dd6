"""What deploy/k8s-smoke.sh asks of the pods: reads `kubectl get pods -o json` and prints the answer.

Standard library only. Exit code 1 and one line on standard error: a promise was not kept.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from datetime import datetime
from typing import Any

Document = dict[str, Any]

COMPONENT = "app.kubernetes.io/component"
SERVICES = frozenset({"api", "worker", "worker-geo", "scheduler", "console"})


class Broken(Exception):
    """A promise was not kept."""


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00"))  # noqa: FURB162


def component(pod: Document) -> str:
    return str(pod["metadata"]["labels"].get(COMPONENT, ""))


def is_leaving(pod: Document) -> bool:
    return "deletionTimestamp" in pod["metadata"]


def is_ready(pod: Document) -> bool:
    conditions = pod["status"].get("conditions", ())
    return any((one["type"], one["status"]) == ("Ready", "True") for one in conditions)


def containers(pod: Document) -> Iterator[Document]:
    """The states of its containers, those that prepare it first."""
    yield from pod["status"].get("initContainerStatuses", ())
    yield from pod["status"].get("containerStatuses", ())


def ready(pods: list[Document]) -> str:
    """The names of those that are ready and stay."""
    return "\n".join(pod["metadata"]["name"] for pod in pods if is_ready(pod) and not is_leaving(pod))


def restarts(pods: list[Document]) -> str:
    """That no container was started twice. Raises Broken."""
    bad = [
        f"{pod['metadata']['name']}/{container['name']} {container['restartCount']} times"
        for pod in pods
        for container in containers(pod)
        if container["restartCount"]
    ]
    if bad:
        raise Broken(f"started again: {', '.join(bad)}")
    return f"restartCount 0 of {sum(1 for pod in pods for _ in containers(pod))} containers in {len(pods)} pods"


def order(pods: list[Document]) -> str:
    """That each service was started after the migration that succeeded, and after it had waited for the schema. Raises
    Broken."""
    migrated: list[datetime] = []
    started: dict[str, datetime] = {}
    for pod in pods:
        name = pod["metadata"]["name"]
        if component(pod) == "migrate":
            ends = [container["state"].get("terminated") for container in containers(pod)]
            migrated += [moment(end["startedAt"]) for end in ends if end and end["exitCode"] == 0]
        elif component(pod) in SERVICES - {"console"}:  # which uses no schema
            [waited], [service] = pod["status"]["initContainerStatuses"], pod["status"]["containerStatuses"]
            if waited["state"].get("terminated", {}).get("exitCode") != 0 or "running" not in service["state"]:
                raise Broken(f"{name} has not waited, or does not run: {waited['state']}, {service['state']}")
            started[name] = moment(service["state"]["running"]["startedAt"])
    if not migrated or not started:
        raise Broken("there is no migration that succeeded, or no service")
    begun, first = min(migrated), min(started, key=lambda name: started[name])
    if started[first] < begun:
        raise Broken(f"{first} was started at {started[first]}, the migration at {begun}")
    seconds = (started[first] - begun).seconds
    return f"{len(started)} pods waited; the first went on {seconds} s after the migration was begun"


def addresses(pods: list[Document]) -> str:
    """Name, container and address of each pod of ours that stays."""
    ours = (pod for pod in pods if component(pod) in SERVICES and not is_leaving(pod))
    return "\n".join(
        f"{pod['metadata']['name']} {pod['spec']['containers'][0]['name']} {pod['status']['podIP']}" for pod in ours
    )


def main() -> int:
    parser = argparse.ArgumentParser(prog="k8s_pods.py", description=__doc__)
    questions = {"ready": ready, "restarts": restarts, "order": order, "addresses": addresses}
    parser.add_argument("question", choices=questions)
    options = parser.parse_args()
    try:
        answer = questions[options.question](json.load(sys.stdin)["items"])
    except Broken as e:
        sys.stderr.write(f"{e}\n")
        return 1
    if answer:
        sys.stdout.write(f"{answer}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

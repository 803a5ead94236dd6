"""What deploy/k8s-smoke.sh asks beyond smoke_work.py, from inside the cluster. Standard library only.

Exit code 1 and one line on standard error: a promise was not kept.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import urllib.error
import urllib.request
from collections import Counter

from smoke_work import Broken, call, say, sent, tagged, until


def states(options: argparse.Namespace) -> None:
    """How many tasks with this tag are in which state."""
    found = Counter(task["state"] for task in tagged(options.tag))
    say(", ".join(f"{n} {state}" for state, n in sorted(found.items())))


def begun(options: argparse.Namespace) -> None:
    """Waits until a task with this tag was submitted."""
    until(lambda: tagged(options.tag), f"a task {options.tag!r} is there", within_seconds=30)


def refused(options: argparse.Namespace) -> None:
    """The status of a refusal, and where it says that help is found."""
    headers = {"Authorization": f"Bearer {os.environ['SMOKE_KEY']}"}
    try:
        urllib.request.urlopen(urllib.request.Request(os.environ["SMOKE_URL"] + options.path, headers=headers))  # noqa: S310
    except urllib.error.HTTPError as e:
        say(f"{e.code} {json.load(e).get('support_url')}")
    else:
        raise Broken(f"{options.path} is not refused")


def sealed(_: argparse.Namespace) -> None:
    """Has the API encrypt a secret: it makes an endpoint of webhooks, and takes it away."""
    made = call("POST", "/api/v1/webhook-endpoints", {"url": "https://hooks.example.org/smoke"})
    sent("DELETE", f"/api/v1/webhook-endpoints/{made['id']}", None, {})
    if not made["secret"].startswith("whsec_"):
        raise Broken("an endpoint of webhooks has no secret")
    say("a secret is sealed with taskyard-secret-keys")


def metrics(options: argparse.Namespace) -> None:
    """Reads the metrics of each address; prints how many samples they have."""
    counts = []
    for address in options.addresses.split(","):
        with urllib.request.urlopen(f"http://{address}:9000/metrics", timeout=10) as answer:
            lines = [line for line in answer.read().decode().splitlines() if line and not line.startswith("#")]
        if not any(line.startswith("taskyard_") for line in lines):
            raise Broken(f"http://{address}:9000/metrics has {len(lines)} samples, none of them taskyard_*")
        counts.append(len(lines))
    say(f"{len(counts)} pods, {min(counts)} to {max(counts)} samples each")


def total(options: argparse.Namespace) -> None:
    """What waits and runs in these queues, as an autoscaler reads it."""
    say(str(call("GET", f"/api/v1/load?queues={options.queues}")["total"]))


def main() -> int:
    parser = argparse.ArgumentParser(prog="k8s_work.py", description=__doc__)
    commands = {one.__name__: one for one in (states, begun, refused, sealed, metrics, total)}
    parser.add_argument("command", choices=commands)
    for option in ("tag", "path", "addresses", "queues"):
        parser.add_argument(f"--{option}")
    options = parser.parse_args()
    try:
        commands[options.command](options)
    except (Broken, OSError) as e:
        sys.stderr.write(f"{e}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

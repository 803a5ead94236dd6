"""Copies `rules/*.yml` into the PrometheusRule of deploy/k8s and into the Helm chart, as text, so that comments stay.

python deploy/monitoring/rules.py                            # renew both
python deploy/monitoring/rules.py --check                    # exit 1 where one is not as it would be written
python deploy/monitoring/rules.py --runbooks https://wiki.example.org/taskyard    # first, in each runbook_url
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path
from textwrap import indent

DEPLOY = Path(__file__).parents[1]
RULES = DEPLOY / "monitoring/rules"
CHART = DEPLOY / "helm/taskyard/files/rules.yaml"
MANIFEST = DEPLOY / "k8s/components/monitoring/rules.yaml"

_WRITTEN = "# Written by `make monitoring` out of deploy/monitoring/rules.\n"
_HEAD = """\
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: taskyard
  namespace: taskyard
  labels: { app.kubernetes.io/name: taskyard }
spec:
"""


def copies(rules: Path = RULES) -> dict[Path, str]:
    """The text that each copy has to have."""
    parts = []
    for path in sorted(rules.glob("*.yml")):
        head, _, groups = path.read_text("utf-8").partition("groups:\n")
        about = indent("\n".join(line for line in head.splitlines() if line), "  ")
        parts.append(f"\n  # From {path.name}.\n" + (f"{about}\n" if about else "") + "\n" + groups.strip("\n") + "\n")
    groups = "groups:" + "".join(parts)
    return {CHART: _WRITTEN + groups, MANIFEST: _WRITTEN + _HEAD + indent(groups, "  ")}


def lead_to(runbooks: str, rules: Path = RULES) -> None:
    """Each `runbook_url` leads to a page under this address."""
    for path in rules.glob("*.yml"):
        text = path.read_text("utf-8")
        path.write_text(re.sub(r"(runbook_url: ).*/(\w+\.md)", rf"\g<1>{runbooks.rstrip('/')}/\2", text), "utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--runbooks", metavar="ADDRESS")
    options = parser.parse_args()
    if options.runbooks:
        lead_to(options.runbooks)
    for path, text in copies().items():
        if path.read_text("utf-8") == text:
            continue
        if options.check:
            sys.exit(f"{path.relative_to(DEPLOY.parent)} differs from deploy/monitoring/rules: run `make monitoring`")
        path.write_text(text, "utf-8")


if __name__ == "__main__":
    main()

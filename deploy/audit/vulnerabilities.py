"""Asks a vulnerability service about every locked package, through pip-audit.

    python deploy/audit/vulnerabilities.py SERVICE LOCK...

SERVICE is `pypi` or `osv`. Ends with 1 where a vulnerability is known, and with 3 where the service did not answer for
every package: pip-audit itself says "No known vulnerabilities found", with exit code 0, where no package was found at
all, as behind a mirror that does not pass such questions on.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

VULNERABLE, NOT_ASKED = 1, 3


def main(service: str, *locks: str) -> int:
    codes = {audit(service, Path(lock)) for lock in locks}
    if VULNERABLE in codes:
        return VULNERABLE
    return NOT_ASKED if NOT_ASKED in codes else 0


def audit(service: str, lock: Path) -> int:
    how = ["--require-hashes", "--disable-pip", "--progress-spinner", "off", "--timeout", "15", "--format", "json"]
    done = subprocess.run(
        [sys.executable, "-m", "pip_audit", "--vulnerability-service", service, "--requirement", lock, *how],
        capture_output=True,
        text=True,
        check=False,
    )
    try:
        packages: list[dict[str, Any]] = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError):
        said = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        print(f"{lock.name}: NOT ASKED: pip-audit ended with {done.returncode}: {said[:300]}")
        return NOT_ASKED
    found = [(package, fault) for package in packages for fault in package.get("vulns", ())]
    for package, fault in found:
        fixed = ", ".join(fault["fix_versions"]) or "no release"
        print(f"{lock.name}: {package['name']} {package['version']}: {fault['id']}, fixed in {fixed}")
    unknown = [package["name"] for package in packages if "skip_reason" in package]
    if unknown:
        print(f"{lock.name}: NOT ASKED: {service} does not know {len(unknown)} of {len(packages)}: {unknown[0]}, ...")
    elif not found:
        print(f"{lock.name}: nothing known of {len(packages)} packages")
    if found:
        return VULNERABLE
    return NOT_ASKED if unknown or not packages else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

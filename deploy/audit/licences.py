"""The licences of what each image installs, against licences.toml: one that is unknown or not allowed fails.

    python deploy/audit/licences.py SITE_PACKAGES LOCK...

SITE_PACKAGES is where the locked packages are installed, whose metadata are read; nothing of them is imported.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections import defaultdict
from collections.abc import Iterator, Mapping
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Any

from license_expression import ExpressionError, LicenseExpression, get_spdx_licensing
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

POLICY = Path(__file__).with_name("licences.toml")
_PIN = re.compile(r"^([A-Za-z0-9][^\\\n]*==[^\\\n]*?) *\\?$", re.MULTILINE)
_SPDX = get_spdx_licensing()


def main(site_packages: str, *locks: str) -> int:
    policy = tomllib.loads(POLICY.read_text("utf-8"))
    installed = {canonicalize_name(dist.name): dist for dist in distributions(path=[site_packages])}
    is_clean = True
    for lock in map(Path, locks):
        found: dict[str, list[str]] = defaultdict(list)
        for name, version in pinned(lock):
            licence = licence_of(name, version, installed, policy["packages"], policy["names"])
            found[licence].append(name)
        allowed = {*policy["allowed"], *policy["images"].get(lock.stem, {}).get("allowed", ())}
        print(f"{lock.stem}:")
        for licence, packages in sorted(found.items()):
            fits = is_allowed(licence, allowed)
            is_clean &= fits
            print(f"  {'' if fits else 'NOT ALLOWED: '}{licence}: {', '.join(sorted(packages))}")
    if not is_clean:
        print(f"licences: NOT ALLOWED above; what is allowed stands in {POLICY.name}", file=sys.stderr)
    return 0 if is_clean else 1


def pinned(lock: Path) -> Iterator[tuple[str, str]]:
    """Names and versions, without what is meant for other platforms than this one."""
    for match in _PIN.finditer(lock.read_text("utf-8")):
        requirement = Requirement(match[1])
        if requirement.marker is None or requirement.marker.evaluate():
            yield canonicalize_name(requirement.name), next(iter(requirement.specifier)).version


def licence_of(
    name: str,
    version: str,
    installed: Mapping[str, Distribution],
    read_by_us: Mapping[str, Mapping[str, str]],
    names: Mapping[str, str],
) -> str:
    """An expression of SPDX, or words that are none and say why."""
    if name in read_by_us and read_by_us[name]["version"] == version:
        return read_by_us[name]["licence"]
    dist = installed.get(name)
    if dist is None:
        return "not installed here (make install)"
    metadata: Any = dist.metadata
    if expression := metadata.get("License-Expression"):
        return str(expression)
    told = [c.rpartition(" :: ")[2] for c in metadata.get_all("Classifier", []) if c.startswith("License :: ")]
    # "OSI Approved" alone is no licence.
    told = [licence for licence in told if licence != "OSI Approved"] or [str(metadata.get("License") or "")]
    return " AND ".join(names.get(licence, licence) for licence in sorted(told)) or "unknown"


def is_allowed(expression: str, allowed: set[str]) -> bool:
    """Of an OR one side is enough, of an AND both are needed."""
    try:
        parsed: LicenseExpression = _SPDX.parse(expression, validate=True, strict=True)
    except ExpressionError:
        return False
    return _holds(parsed, allowed)


def _holds(parsed: Any, allowed: set[str]) -> bool:
    if isinstance(parsed, _SPDX.OR):
        return any(_holds(part, allowed) for part in parsed.args)
    if isinstance(parsed, _SPDX.AND):
        return all(_holds(part, allowed) for part in parsed.args)
    return str(parsed) in allowed


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

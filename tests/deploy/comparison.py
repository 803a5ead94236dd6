"""Two renderings compared object by object and field by field.

A difference is a line: `- Kind/name path: value` for what only the kustomization has, `+ ...` for what only the chart
has, `~ Kind/name path: value -> value` for what both have with different values.
"""

import re
from collections.abc import Iterator
from typing import Any

from .rendering import Resource

# The hash of a generated ConfigMap, the revision of a Job: part of a name that says which version of the object it is.
VERSION = re.compile(r"-([a-z0-9]{10}|\d+)$")


def by_name(resources: list[Resource]) -> dict[str, Resource]:
    return {f"{each['kind']}/{name_of(each)}": each for each in resources}


def name_of(resource: Resource) -> str:
    name = str(resource["metadata"]["name"])
    return VERSION.sub("", name) if resource["kind"] in {"ConfigMap", "Secret", "Job"} else name


def differences(kustomized: list[Resource], charted: list[Resource]) -> list[str]:
    ours, theirs = by_name(kustomized), by_name(charted)
    return [
        *(f"- {name}" for name in sorted(ours.keys() - theirs.keys())),
        *(f"+ {name}" for name in sorted(theirs.keys() - ours.keys())),
        *(
            f"{sign} {name} {text}"
            for name in sorted(ours.keys() & theirs.keys())
            for sign, text in fields(ours[name], theirs[name], "")
        ),
    ]


def fields(ours: Any, theirs: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for name in sorted(ours.keys() | theirs.keys()):
            at = f"{path}.{name}" if path else name
            if name in ours and name in theirs:
                yield from fields(ours[name], theirs[name], at)
            elif isinstance(value := {**ours, **theirs}[name], dict) and value:
                yield from fields(ours.get(name, {}), theirs.get(name, {}), at)
            else:
                yield "-" if name in ours else "+", f"{at}: {value}"
    elif isinstance(ours, list) and isinstance(theirs, list):
        for index, (one, other) in enumerate(zip(ours, theirs, strict=False)):
            yield from fields(one, other, f"{path}.{index}")
        yield from (("-", f"{path}.{index}: {ours[index]}") for index in range(len(theirs), len(ours)))
        yield from (("+", f"{path}.{index}: {theirs[index]}") for index in range(len(ours), len(theirs)))
    elif ours != theirs:
        yield "~", f"{path}: {ours} -> {theirs}"

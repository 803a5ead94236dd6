"""Files of schedules, YAML or JSON: read with the line of each field, so that whoever wrote one finds what is wrong.

YAML as JSON has it: texts, whole and decimal numbers, true, false and null. A date is a text, and so are `yes` and
`no`. No anchors, aliases and tags.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import yaml
from pydantic import TypeAdapter, ValidationError

from taskyard.admission.field_faults import faults_of
from taskyard.domain.faults import Fault
from taskyard.domain.messages import verbatim
from taskyard.domain.pointers import escaped
from taskyard.lifecycle.batch import MAX_DEPTH, Unstorable, check_storable
from taskyard.schedules.bodies import ScheduleBody, ScheduleName

MAX_FILE_BYTES = 1024 * 1024
# What the parameters of a task may have, and what is around them.
_MAX_DEPTH = MAX_DEPTH + 4
_SOURCE: TypeAdapter[str] = TypeAdapter(ScheduleName)
_WHOLE, _DECIMAL = re.compile(r"[-+]?[0-9]+"), re.compile(r"[-+]?[0-9]*\.?[0-9]+([eE][-+]?[0-9]+)?")
_WORDS = {"true": True, "false": False, "null": None, "~": None, "": None}
_NAMES = {"source", "schedules"}


class FileRefused(Exception):
    """The file cannot be used; each of `lines` says where and why."""

    def __init__(self, *lines: str) -> None:
        super().__init__(lines[0])
        self.lines = lines


@dataclass(frozen=True, slots=True)
class ScheduleFile:
    """`source` names the file in the schedules that it makes: its own `source`, or its name without directories."""

    path: Path
    source: str
    schedules: list[ScheduleBody]
    lines: dict[str, int] = field(default_factory=dict)

    def told(self, fault: Fault) -> str:
        return _told(self.path, self.lines, fault)


def read_file(path: Path) -> ScheduleFile:
    """Raises FileRefused."""
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_FILE_BYTES + 1)
        text = raw.decode()
    except (OSError, UnicodeDecodeError) as e:
        raise FileRefused(f"{path}: {e.strerror if isinstance(e, OSError) else 'is no text in UTF-8'}") from None
    if len(raw) > MAX_FILE_BYTES:
        raise FileRefused(f"{path}: has more than {MAX_FILE_BYTES:,} bytes")
    lines: dict[str, int] = {}
    value = _json(path, text) if path.suffix == ".json" else _yaml(path, text, lines)
    return _checked(path, value, lines)


def _checked(path: Path, value: Any, lines: dict[str, int]) -> ScheduleFile:
    try:
        check_storable(value, max_depth=_MAX_DEPTH)
    except Unstorable as e:
        raise FileRefused(_told(path, lines, Fault(e.pointer, e.sentence))) from None
    if not isinstance(value, dict) or not isinstance(value.get("schedules"), list):
        raise FileRefused(f"{path}: must be an object with a list `schedules`")
    faults = [Fault(f"/{name}", verbatim("There is no such field.")) for name in value if name not in _NAMES]
    source = value.get("source", path.name)
    try:
        _SOURCE.validate_python(source)
    except ValidationError as e:
        faults += faults_of(e, "/source")
    found: list[ScheduleBody] = []
    names: set[str] = set()
    for n, entry in enumerate(value["schedules"]):
        try:
            found.append(ScheduleBody.model_validate(entry))
        except ValidationError as e:
            faults += faults_of(e, f"/schedules/{n}")
            continue
        if found[-1].name in names:
            faults.append(Fault(f"/schedules/{n}/name", verbatim("Another schedule of this file has this name.")))
        names.add(found[-1].name)
        if found[-1].task.callback_url is not None:
            told = "A callback belongs to an API key: make this schedule over HTTP."
            faults.append(Fault(f"/schedules/{n}/task/callback_url", verbatim(told)))
    if faults:
        raise FileRefused(*(_told(path, lines, fault) for fault in faults))
    return ScheduleFile(path, source, found, lines)


def _told(path: Path, lines: dict[str, int], fault: Fault) -> str:
    """`FILE:LINE: POINTER: what is wrong`; the line is that of the nearest field around it which is there."""
    place = fault.pointer
    while place and place not in lines:
        place = place.rpartition("/")[0]
    line = f":{lines[place]}" if place in lines else ""
    return f"{path}{line}: {fault.pointer}: {fault.message}"


def _json(path: Path, text: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as e:
        raise FileRefused(f"{path}:{e.lineno}: is not JSON: {e.msg}, column {e.colno}") from None


class _Loader(yaml.SafeLoader):
    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise yaml.MarkedYAMLError(problem="aliases are not taken", problem_mark=self.get_mark())
        return super().compose_node(parent, index)


def _yaml(path: Path, text: str, lines: dict[str, int]) -> Any:
    try:
        node = yaml.compose(text, Loader=_Loader)
        return None if node is None else _value(node, "", lines)
    except yaml.MarkedYAMLError as e:
        mark = e.problem_mark or e.context_mark
        said = f"{e.problem or e.context}"
        if "alias" in f"{e.context} {e.problem}":
            said += '; a text that begins with * stands in quotation marks: "*/5 * * * *"'
        raise FileRefused(f"{path}{f':{mark.line + 1}' if mark else ''}: is not YAML: {said}") from None
    except (yaml.YAMLError, RecursionError) as e:
        said = "nested too deeply" if isinstance(e, RecursionError) else " ".join(str(e).split())
        raise FileRefused(f"{path}: is not YAML: {said}") from None


def _value(node: yaml.Node, pointer: str, lines: dict[str, int]) -> Any:
    lines.setdefault(pointer, node.start_mark.line + 1)
    match node:
        case yaml.MappingNode():
            return dict(_members(node, pointer, lines))
        case yaml.SequenceNode():
            return [_value(inner, f"{pointer}/{n}", lines) for n, inner in enumerate(node.value)]
    assert isinstance(node, yaml.ScalarNode)
    return node.value if node.style else _scalar(node.value)


def _members(node: yaml.MappingNode, pointer: str, lines: dict[str, int]) -> Iterator[tuple[str, Any]]:
    seen: set[str] = set()
    for name, inner in node.value:
        if not isinstance(name, yaml.ScalarNode) or name.value in seen:
            told = "a name stands twice" if isinstance(name, yaml.ScalarNode) else "names are texts"
            raise yaml.MarkedYAMLError(problem=told, problem_mark=name.start_mark)
        seen.add(name.value)
        place = f"{pointer}/{escaped(name.value)}"
        lines[place] = name.start_mark.line + 1
        yield name.value, _value(inner, place, lines)


def _scalar(text: str) -> Any:
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    if _WHOLE.fullmatch(text) and len(text) < 20:
        return int(text)
    return float(text) if _DECIMAL.fullmatch(text) else text

"""Workflows as people coming from Celery know them: `chain`, `group`, `chord`, in any mixture.

    from taskyard_client import Client, chain, chord, group, previous, step

    report = chord(
        group(step("files.process_large_file", {"item_id": item}) for item in items),
        step("reports.generate", {"report_type": "tasks"}),
    )
    mail = step("notifications.send", {"to_email": "ada@example.org", "message": previous("name")})
    workflow = client.start(report | mail)
    client.wait_workflow(workflow.id)

They make the JSON of `POST /workflows` and nothing else: `workflow_fields(report | mail)` shows it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel

from .options import Params, StepOptions, step_fields

if TYPE_CHECKING:
    from typing_extensions import Unpack

OnFailure = Literal["cancel_rest", "continue"]
_OTHERS = re.compile("[^A-Za-z0-9_-]")
_LONGEST = 56  # characters of a name that is made of a type's; a number may follow


class Node:
    """A step, or a chain or a group of them. `a | b`: a chain."""

    def __or__(self, after: Node) -> Chain:
        return chain(self, after)


class Step(Node):
    """Made by `step`. Each is in a workflow once."""

    def __init__(
        self,
        task: str,
        params: Params | None,
        called: str | None,
        needs: Iterable[Step],
        optional: bool,
        options: Mapping[str, Any],
    ) -> None:
        self.task = task
        self.called = called
        self.needs = [*needs]
        self.optional = optional
        self._params = params
        self._options = options

    def result(self, path: str = "") -> Result:
        """Stands in the parameters of a later step for this one's result, or for what is at `path` in it:
        `count.result("rows[0].id")`."""
        return Result(self, path)

    def fields(self, names: Mapping[Step, str], before: Preceding) -> dict[str, Any]:
        """`before`: what comes right before this one. Raises ValueError for a step that is not in the workflow."""
        needs = [_name_of(need, names) for need in dict.fromkeys([*before.steps, *self.needs])]
        made = step_fields(self.task, self._params, self._options)
        made["params"] = _filled(made["params"], names, before)
        return {**made, **({"needs": needs} if needs else {}), **({"optional": True} if self.optional else {})}


@dataclass(frozen=True)
class Preceding:
    """What comes right before a step; a group is one also where it has one step only."""

    steps: Sequence[Step] = ()
    is_group: bool = False


@dataclass(frozen=True)
class Result:
    """Of `of`; None: of what comes before, which is a list behind a group."""

    of: Step | None
    path: str

    def written(self, names: Mapping[Step, str], before: Preceding) -> Any:
        if self.of is not None:
            return {"$result": _joined(_name_of(self.of, names), self.path)}
        if not before.steps:
            raise ValueError("previous() stands in a step that nothing comes before")
        found = [{"$result": _joined(names[one], self.path)} for one in before.steps]
        return found if before.is_group else found[0]


class Chain(Node):
    def __init__(self, nodes: Sequence[Node]) -> None:
        self.nodes = nodes


class Group(Node):
    def __init__(self, nodes: Sequence[Node]) -> None:
        self.nodes = nodes


def step(
    task: str,
    params: Params | None = None,
    *,
    called: str | None = None,
    needs: Iterable[Step] = (),
    optional: bool = False,
    **options: Unpack[StepOptions],
) -> Step:
    """A task of the type `task` as a step, with the options of a submit. `called`: its name in the workflow; by default
    that of its type, with a number where there are several. `needs`: steps beside those that come before it in its
    chain.

    Raises TypeError for an unknown option, and ValueError for a time without a time zone.
    """
    step_fields(task, params, options)
    return Step(task, params, called, needs, optional, options)


def chain(*nodes: Node | Iterable[Node]) -> Chain:
    """One after the other; what comes behind a group waits for all of it."""
    return Chain(_nodes("chain", nodes))


def group(*nodes: Node | Iterable[Node]) -> Group:
    """Side by side."""
    return Group(_nodes("group", nodes))


def chord(header: Node | Iterable[Node], body: Node) -> Chain:
    """`body` once all of `header` has succeeded."""
    return chain(header if isinstance(header, Group) else group(header), body)


def previous(path: str = "") -> Result:
    """In the parameters of a step: the result of the step before, or what is at `path` in it; behind a group, a list of
    the results in the group's order."""
    return Result(None, path)


def workflow_fields(
    flow: Node,
    *,
    name: str | None = None,
    on_failure: OnFailure | None = None,
    callback_url: str | None = None,
) -> dict[str, Any]:
    """The body of `POST /workflows`. Raises ValueError for a step that stands in it twice, for one that is needed and
    does not stand in it, and for a `previous()` that nothing comes before."""
    before: dict[Step, Preceding] = {}
    _walk(flow, Preceding(), before)
    names = _names(list(before))
    steps = {names[one]: one.fields(names, preceding) for one, preceding in before.items()}
    given = {"name": name, "on_failure": on_failure, "callback_url": callback_url}
    return {**{key: value for key, value in given.items() if value is not None}, "steps": steps}


def _nodes(name: str, given: Sequence[Node | Iterable[Node]]) -> list[Node]:
    found: list[Node] = []
    for one in given:
        found += [one] if isinstance(one, Node) else one
    if not found:
        raise ValueError(f"a {name} of nothing")
    return found


def _walk(node: Node, preceding: Preceding, before: dict[Step, Preceding]) -> Preceding:
    """Notes what comes right before each step; returns what comes before a step behind the node."""
    match node:
        case Chain(nodes=nodes):
            for inner in nodes:
                preceding = _walk(inner, preceding, before)
            return preceding
        case Group(nodes=nodes):
            return Preceding([last for inner in nodes for last in _walk(inner, preceding, before).steps], is_group=True)
        case Step():
            if node in before:
                raise ValueError(f"the step {node.called or node.task} stands in the workflow twice: make another one")
            before[node] = preceding
            return Preceding([node])
    raise TypeError(f"{node!r:.200} is no step, chain or group")


def _names(steps: Sequence[Step]) -> dict[Step, str]:
    taken = {one.called for one in steps if one.called}
    if len(taken) < sum(bool(one.called) for one in steps):
        raise ValueError("two steps of the workflow are called the same")
    names: dict[Step, str] = {}
    counts: dict[str, int] = {}
    for one in steps:
        wish = _OTHERS.sub("_", one.task.rpartition(".")[2])[:_LONGEST]
        name = one.called
        while name is None:
            counts[wish] = counts.get(wish, 0) + 1
            made = wish if counts[wish] == 1 else f"{wish}-{counts[wish]}"
            name = None if made in taken else made
        names[one] = name
    return names


def _name_of(one: Step, names: Mapping[Step, str]) -> str:
    if one not in names:
        raise ValueError(
            f"the step {one.called or one.task} is needed and not in the workflow: put it into a chain or a group of it"
        )
    return names[one]


def _joined(name: str, path: str) -> str:
    return name + (path if not path or path.startswith("[") else f".{path}")


def _filled(value: Any, names: Mapping[Step, str], before: Preceding) -> Any:
    if isinstance(value, Result):
        return value.written(names, before)
    if isinstance(value, BaseModel):
        value = value.model_dump(mode="json", by_alias=True)
    if isinstance(value, Mapping):
        return {key: _filled(inner, names, before) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_filled(inner, names, before) for inner in value]
    return value

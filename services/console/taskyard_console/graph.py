"""The graph of a workflow's steps, laid out in layers: each step stands behind all that it needs.

Where many steps of a layer are alike, they are drawn as one box with their count.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from taskyard_client.models import WorkflowStep

# More boxes beside each other are not read any more.
MOST_BESIDE = 8
# Deeper graphs lead downwards, as pages scroll.
MOST_ACROSS = 5
WIDTH, HEIGHT = 200, 56
_GAP, _ACROSS, _DOWN, _MARGIN = 16, 48, 36, 8
# What a box of several steps is coloured by: the first of these that one of them is in.
_LOUDEST = ("failed", "running", "retrying", "queued", "scheduled", "blocked", "cancelled", "succeeded")


@dataclass(frozen=True, slots=True)
class Box:
    """`counts`: how many of its steps are in each state, the loudest first."""

    steps: Sequence[WorkflowStep]
    x: int
    y: int

    @property
    def title(self) -> str:
        names = {step.task_name for step in self.steps}
        return self.steps[0].name if len(self.steps) == 1 else ", ".join(sorted(names))

    @property
    def counts(self) -> list[tuple[str, int]]:
        found = Counter(step.state for step in self.steps)
        return sorted(found.items(), key=lambda one: _rank(one[0]))

    @property
    def state(self) -> str:
        return self.counts[0][0]


class Arrow(NamedTuple):
    """`path`: of SVG. `is_met`: what is needed has succeeded."""

    path: str
    is_met: bool


@dataclass(frozen=True, slots=True)
class Graph:
    width: int
    height: int
    boxes: Sequence[Box]
    arrows: Sequence[Arrow]


def drawn(steps: Sequence[WorkflowStep]) -> Graph:
    """`steps` as the API has them, each behind those that it needs; needs that are not among them are left out."""
    layers = _grouped(steps)
    leads_down = len(layers) > MOST_ACROSS
    widest = max((len(layer) for layer in layers), default=0)
    boxes: list[Box] = []
    for number, layer in enumerate(layers):
        for place, group in enumerate(layer):
            across = place + (widest - len(layer)) / 2
            boxes.append(Box(group, *_corner(number, across, leads_down=leads_down)))
    size = _corner(len(layers) - 1, widest - 1, leads_down=leads_down) if layers else (0, 0)
    width, height = size[0] + WIDTH + _MARGIN, size[1] + HEIGHT + _MARGIN
    return Graph(width, height, boxes, _arrows(boxes, leads_down=leads_down))


def _corner(layer: int, place: float, *, leads_down: bool) -> tuple[int, int]:
    if leads_down:
        return _MARGIN + round(place * (WIDTH + _GAP)), _MARGIN + layer * (HEIGHT + _DOWN)
    return _MARGIN + layer * (WIDTH + _ACROSS), _MARGIN + round(place * (HEIGHT + _GAP))


def _grouped(steps: Sequence[WorkflowStep]) -> list[list[list[WorkflowStep]]]:
    """The layers; each is of groups, a group of one step or of several that are alike."""
    level: dict[str, int] = {}
    layers: list[list[WorkflowStep]] = []
    leads_to: dict[str, list[str]] = defaultdict(list)
    for step in steps:
        level[step.name] = found = 1 + max((level[need] for need in step.needs if need in level), default=-1)
        while len(layers) <= found:
            layers.append([])
        layers[found].append(step)
        for need in step.needs:
            leads_to[need].append(step.name)
    return _in_order([_groups(layer, leads_to) for layer in layers])


def _groups(layer: list[WorkflowStep], leads_to: dict[str, list[str]]) -> list[list[WorkflowStep]]:
    """Those that nothing tells apart but their parameters first; if that is not enough, all of a task type."""

    def role(step: WorkflowStep) -> Hashable:
        return step.task_name, frozenset(step.needs), tuple(leads_to[step.name])

    found = [[step] for step in layer]
    keys: tuple[Callable[[WorkflowStep], Hashable], ...] = (role, lambda step: step.task_name)
    for key in keys:
        if len(found) > MOST_BESIDE:
            found = _together(layer, key)
    return found


def _together(steps: Iterable[WorkflowStep], key: Callable[[WorkflowStep], Hashable]) -> list[list[WorkflowStep]]:
    found: dict[Hashable, list[WorkflowStep]] = {}
    for step in steps:
        found.setdefault(key(step), []).append(step)
    return list(found.values())


def _in_order(layers: list[list[list[WorkflowStep]]]) -> list[list[list[WorkflowStep]]]:
    """Each group at about the place of what it needs, so that arrows seldom cross."""
    places: dict[str, float] = {}
    for layer in layers:
        layer.sort(key=lambda group: _middle(group, places))
        for place, group in enumerate(layer):
            places.update((step.name, place - len(layer) / 2) for step in group)
    return layers


def _middle(group: Iterable[WorkflowStep], places: dict[str, float]) -> float:
    found = [places[need] for step in group for need in step.needs if need in places]
    return sum(found) / len(found) if found else 0.0


def _arrows(boxes: Sequence[Box], *, leads_down: bool) -> list[Arrow]:
    box_of = {step.name: number for number, box in enumerate(boxes) for step in box.steps}
    met: dict[tuple[int, int], bool] = {}
    states = {step.name: step.state for box in boxes for step in box.steps}
    for number, box in enumerate(boxes):
        for step in box.steps:
            for need in step.needs:
                if need in box_of:
                    pair = (box_of[need], number)
                    met[pair] = met.get(pair, True) and states[need] == "succeeded"
    return [
        Arrow(_path(boxes[start], boxes[end], leads_down=leads_down), is_met) for (start, end), is_met in met.items()
    ]


def _path(start: Box, end: Box, *, leads_down: bool) -> str:
    """A curve between the sides that face each other; its end leaves room for the head."""
    half = (_DOWN if leads_down else _ACROSS) // 2
    if leads_down:
        x1, y1, x2, y2 = start.x + WIDTH // 2, start.y + HEIGHT, end.x + WIDTH // 2, end.y - 7
        return f"M{x1} {y1}C{x1} {y1 + half} {x2} {y2 - half} {x2} {y2}"
    x1, y1, x2, y2 = start.x + WIDTH, start.y + HEIGHT // 2, end.x - 7, end.y + HEIGHT // 2
    return f"M{x1} {y1}C{x1 + half} {y1} {x2 - half} {y2} {x2} {y2}"


def _rank(state: str) -> int:
    return _LOUDEST.index(state) if state in _LOUDEST else len(_LOUDEST)

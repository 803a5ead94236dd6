"""The graph of a workflow: where its boxes stand, what is drawn together, and which arrows lead where."""

from __future__ import annotations

from uuid import uuid4

from taskyard_client.models import WorkflowStep
from taskyard_console.graph import HEIGHT, MOST_BESIDE, WIDTH, Box, Graph, drawn


def step(name: str, *needs: str, state: str = "blocked", task_name: str = "do") -> WorkflowStep:
    return WorkflowStep(name=name, task_id=uuid4(), task_name=task_name, state=state, needs=list(needs))


def box_of(graph: Graph, name: str) -> Box:
    return next(box for box in graph.boxes if name in {one.name for one in box.steps})


def test_a_step_stands_behind_all_that_it_needs() -> None:
    graph = drawn([step("a"), step("b", "a"), step("c"), step("d", "b", "c")])
    assert box_of(graph, "a").x == box_of(graph, "c").x < box_of(graph, "b").x < box_of(graph, "d").x
    assert len(graph.arrows) == 3


def test_boxes_never_overlap_and_stand_inside_the_picture() -> None:
    for length in (3, 9):  # the longer one leads downwards
        steps = [step(f"{name}{i}", *([f"a{i - 1}", f"b{i - 1}"] if i else [])) for i in range(length) for name in "ab"]
        graph = drawn(steps)
        for box in graph.boxes:
            assert 0 <= box.x <= graph.width - WIDTH
            assert 0 <= box.y <= graph.height - HEIGHT
        boxes = list(graph.boxes)
        for i, one in enumerate(boxes):
            assert all(abs(one.x - other.x) >= WIDTH or abs(one.y - other.y) >= HEIGHT for other in boxes[i + 1 :])


def test_many_alike_are_one_box_with_their_count_and_the_loudest_state() -> None:
    pages = [step(f"page{i}", "begin", state="failed" if i == 7 else "succeeded") for i in range(300)]
    graph = drawn([step("begin", state="succeeded"), *pages, step("end", *(page.name for page in pages))])
    box = box_of(graph, "page0")
    assert (len(graph.boxes), len(box.steps), box.title) == (3, 300, "do")
    assert (box.state, box.counts) == ("failed", [("failed", 1), ("succeeded", 299)])
    assert [arrow.is_met for arrow in graph.arrows] == [True, False]


def test_steps_that_differ_in_what_they_lead_to_are_drawn_together_once_there_are_too_many() -> None:
    def pairs(count: int) -> Graph:
        loads = [step(f"load{i}", task_name="load") for i in range(count)]
        return drawn([*loads, *(step(f"scale{i}", f"load{i}", task_name="scale") for i in range(count))])

    assert len(pairs(MOST_BESIDE).boxes) == 2 * MOST_BESIDE
    assert [box.title for box in pairs(MOST_BESIDE + 1).boxes] == ["load", "scale"]


def test_needs_that_stand_on_another_page_are_left_out() -> None:
    assert drawn([step("late", "early")]).arrows == []
    assert drawn([]).boxes == []

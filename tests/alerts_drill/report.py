"""The table of a drill, as Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from .course import Course
from .watch import Seen


def table(courses: Sequence[Course]) -> Iterator[str]:
    yield "| fault | expected alert | pending, s | firing, s | told, s | resolved after mend, s | others: firing, s |\n"
    yield "| --- | --- | ---: | ---: | ---: | ---: | --- |\n"
    for course in courses:
        first = min(course.expected, key=lambda seen: seen.firing or 0.0, default=Seen())
        cells = [
            f"{course.fault.name}: {course.fault.what}",
            course.fault.expected or "none",
            *(_seconds(at, course.began) for at in (first.pending, first.firing, first.notified)),
            _seconds(first.resolved, course.mended),
            "; ".join(_others(course)) or "none",
        ]
        yield f"| {' | '.join(cells)} |\n"


def _others(course: Course) -> Iterator[str]:
    for name, seen in sorted(course.alerts.items(), key=lambda one: one[1].firing or float("inf")):
        if name.startswith(f"{course.fault.expected} (") and seen in course.expected[:1]:
            continue
        if seen.firing is None:
            continue
        after = " ".join(
            [
                _seconds(seen.firing, course.began),
                "inhibited" if seen.was_inhibited else "",
                "told" if seen.notified else "not told",
                f"resolved {_seconds(seen.resolved, course.mended)}" if seen.resolved else "still firing at the end",
            ]
        )
        yield f"{name} {' '.join(after.split())}"


def _seconds(at: float | None, since: float) -> str:
    return "never" if at is None else f"{at - since:.0f}"

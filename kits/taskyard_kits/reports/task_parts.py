"""The parts of reports over tasks and queues."""

from __future__ import annotations

from functools import partial

from taskyard.store import counts
from taskyard.store.counts import Grouping, TaskGroup

from .declarations import MAX_ROWS
from .languages import NONE, Language
from .parts import Chart, Column, Part, Series, Table, Tone
from .reading import Source

# Bars of a lying chart, one a type or queue.
TOP = 10
_TONES = {
    "succeeded": Tone.GOOD,
    "failed": Tone.BAD,
    "cancelled": Tone.STOPPED,
    "unfinished": Tone.PENDING,
}


def overview(source: Source) -> Part:
    say, period = source.language.say, source.period
    course = source.read(partial(counts.course, bounds=period.bounds, end=period.end, queues=source.queues))
    series = [
        Series(say(name), tone, [getattr(outcomes, name) for outcomes in course]) for name, tone in _TONES.items()
    ]
    sums = [sum(one.values) for one in series]
    if not any(sums):
        return Part(title=say("overview"), notes=[say("nothing")])
    columns = [Column(say("tasks")), *(Column(one.name) for one in series)]
    row = [source.language.number(n) for n in (sum(sums), *sums)]
    return Part(
        title=say("overview"),
        notes=[say("submitted_then")],
        chart=Chart(source.language.buckets(period), series),
        table=Table(columns, [row]),
    )


def by_type(source: Source) -> Part:
    return _grouped(source, "name", "by_type", "type")


def by_queue(source: Source) -> Part:
    return _grouped(source, "queue", "by_queue", "queue")


def _grouped(source: Source, by: Grouping, title: str, column: str) -> Part:
    say, period = source.language.say, source.period
    read = partial(counts.tasks, by=by, start=period.start, end=period.end, queues=source.queues, most=MAX_ROWS)
    groups, total = source.read(read)
    if not groups:
        return Part(title=say(title), notes=[say("nothing")])
    names = ("tasks", *_TONES, "wait", "late_wait", "run", "late_run")
    columns = [Column(say(column), 3, is_text=True), *(Column(say(name), 1.4) for name in names)]
    top = groups[:TOP]
    series = [Series(say(name), tone, [getattr(group, name) for group in top]) for name, tone in _TONES.items()]
    return Part(
        title=say(title),
        notes=[say("late_means")],
        chart=Chart([group.name for group in top], series, lying=True),
        table=Table(columns, [_row(group, source.language) for group in groups], total - len(groups)),
    )


def _row(group: TaskGroup, language: Language) -> list[str]:
    numbers = (group.tasks, group.succeeded, group.failed, group.cancelled, group.unfinished)
    seconds = (group.mean_wait, group.late_wait, group.mean_run, group.late_run)
    return [group.name, *map(language.number, numbers), *map(language.seconds, seconds)]


def failures(source: Source) -> Part:
    say, period = source.language.say, source.period
    read = partial(counts.failures, start=period.start, end=period.end, queues=source.queues, most=MAX_ROWS)
    groups, total = source.read(read)
    if not groups:
        return Part(title=say("failures"), notes=[say("nothing")])
    columns = [Column(say("type"), 3, is_text=True), Column(say("code"), 3, is_text=True), Column(say("tasks"))]
    rows = [[group.name, group.code or NONE, source.language.number(group.tasks)] for group in groups]
    return Part(title=say("failures"), table=Table(columns, rows, total - len(groups)))


def queues_now(source: Source) -> Part:
    say, language = source.language.say, source.language
    queues, total = source.read(partial(counts.queues_now, queues=source.queues, most=MAX_ROWS))
    if not queues:
        return Part(title=say("queues_now"), notes=[say("nothing")])
    columns = [
        Column(say("queue"), 3, is_text=True),
        Column(say("state"), 1.2, is_text=True),
        *(Column(say(name), 1.2) for name in ("queued", "later", "running", "oldest")),
    ]
    rows = [
        [
            queue.name,
            say("paused" if queue.is_paused else "open"),
            *map(language.number, (queue.queued, queue.later, queue.running)),
            language.seconds(queue.oldest_seconds),
        ]
        for queue in queues
    ]
    return Part(title=say("queues_now"), table=Table(columns, rows, total - len(queues)))

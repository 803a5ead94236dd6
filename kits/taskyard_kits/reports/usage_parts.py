"""The parts of reports over analytics: requests, and the usage of models, in whole hours."""

from __future__ import annotations

from functools import partial
from typing import Any

from taskyard.store import analytics
from taskyard.store.analytics import OTHER, Answers, Period

from .declarations import MAX_ROWS
from .parts import Chart, Column, Part, Series, Table, Tone
from .reading import Source
from .task_parts import TOP

_TONES = {"answered": Tone.GOOD, "client_errors": Tone.PENDING, "server_errors": Tone.BAD}


def requests(source: Source) -> Part:
    say = source.language.say
    if source.queues is not None:
        return Part(title=say("requests"), notes=[say("requests_hidden")])
    bounds = source.period.bounds
    course = source.read(partial(analytics.course_of_requests, period=_period(source), bounds=bounds))
    series = [Series(say(name), tone, [getattr(answers, name) for answers in course]) for name, tone in _TONES.items()]
    sums = [sum(one.values) for one in series]
    if not any(sums):
        return Part(title=say("requests"), notes=[say("nothing")])
    columns = [Column(say("requests")), *(Column(one.name) for one in series)]
    row = [source.language.number(n) for n in (sum(sums), *sums)]
    chart = Chart(source.language.buckets(source.period), series)
    return Part(title=say("requests"), chart=chart, table=Table(columns, [row]))


def by_route(source: Source) -> Part:
    say, language = source.language.say, source.language
    if source.queues is not None:
        return Part(title=say("by_route"), notes=[say("requests_hidden")])
    found = source.read(partial(analytics.requests, period=_period(source)))
    if not found:
        return Part(title=say("by_route"), notes=[say("nothing")])
    found.sort(key=lambda route: route["requests"], reverse=True)
    columns = [
        Column(say("method"), 1.2, is_text=True),
        Column(say("route"), 4, is_text=True),
        *(Column(say(name), 1.2) for name in ("requests", *_TONES, "mean_time")),
    ]
    rows = []
    for route in found[:MAX_ROWS]:
        numbers = (route["requests"], *_answers(route))
        names = [say("others") if route[name] == OTHER else route[name] for name in ("method", "route")]
        rows.append([*names, *map(language.number, numbers), language.seconds(route["mean_seconds"])])
    top = found[:TOP]
    series = [
        Series(say(name), tone, [getattr(_answers(route), name) for route in top]) for name, tone in _TONES.items()
    ]
    labels = [f"{row[0]} {row[1]}" for row in rows[:TOP]]
    chart = Chart(labels, series, lying=True)
    return Part(title=say("by_route"), chart=chart, table=Table(columns, rows, len(found) - len(rows)))


def _answers(route: dict[str, Any]) -> Answers:
    wrong = route["client_errors"], route["server_errors"]
    return Answers(route["requests"] - sum(wrong), *wrong)


def tokens(source: Source) -> Part:
    say, period = source.language.say, source.period
    read = partial(analytics.course_of_tokens, period=_period(source), bounds=period.bounds, owner=source.owner)
    values = source.read(read)
    if not any(values):
        return Part(title=say("tokens"), notes=[say("nothing")])
    chart = Chart(source.language.buckets(period), [Series(say("tokens"), Tone.PLAIN, values)])
    table = Table([Column(say("tokens"))], [[source.language.number(sum(values))]])
    return Part(title=say("tokens"), chart=chart, table=table)


def models(source: Source) -> Part:
    say, language = source.language.say, source.language
    found = source.read(partial(analytics.models, period=_period(source), owner=source.owner))
    if not found:
        return Part(title=say("models"), notes=[say("nothing")])
    columns = [Column(say("model"), 5, is_text=True), Column(say("events")), Column(say("tokens"), 1.5)]
    names = [say("others") if model["model"] == OTHER else model["model"] for model in found]
    rows = [
        [name, language.number(model["events"]), language.number(model["tokens"])]
        for name, model in zip(names, found, strict=True)
    ]
    series = [Series(say("tokens"), Tone.PLAIN, [model["tokens"] for model in found[:TOP]])]
    return Part(title=say("models"), chart=Chart(names[:TOP], series, lying=True), table=Table(columns, rows))


def _period(source: Source) -> Period:
    return Period(source.period.start, source.period.end, "total")

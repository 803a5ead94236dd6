"""reports.generate: reads one part after the other, and draws what there was time for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta

from taskyard import TaskContext, TaskError, task
from taskyard.domain.errors import SoftTimeLimitExceeded
from taskyard.store.analytics import whole_hours
from taskyard.store.tree_items import TreeItem
from taskyard_kits.kept_files import MadeFile, keep, kept
from taskyard_kits.stored_files import ERRORS as STORAGE_ERRORS

from . import task_parts, usage_parts
from .declarations import Generated, GenerateParams
from .languages import NONE, language_of
from .parts import Part, Report
from .periods import Period, dates, divided, period_of, zone_named
from .reading import Source, TooSlow
from .rules import RULE
from .words import ERRORS

# By the type of the report: the title of each part, and what reads it.
_PARTS: dict[str, Sequence[tuple[str, Callable[[Source], Part]]]] = {
    "tasks": (
        ("overview", task_parts.overview),
        ("by_type", task_parts.by_type),
        ("failures", task_parts.failures),
    ),
    "queues": (
        ("overview", task_parts.overview),
        ("by_queue", task_parts.by_queue),
        ("queues_now", task_parts.queues_now),
    ),
    "analytics": (
        ("requests", usage_parts.requests),
        ("by_route", usage_parts.by_route),
        ("tokens", usage_parts.tokens),
        ("models", usage_parts.models),
    ),
}


@task(
    "reports.generate",
    soft_limit=timedelta(seconds=240),
    hard_limit=timedelta(seconds=300),
    rules=(RULE,),
    errors={**STORAGE_ERRORS, **ERRORS},
)
def generate(params: GenerateParams, *, context: TaskContext) -> Generated:
    """Makes a report as a PDF, with tables and charts: over tasks, queues or analytics."""
    if stored := kept(context):
        context.log("An earlier attempt made the report already.")
        return _result(stored[0], params)
    now = datetime.now(UTC)
    source = Source(context, _period(params, now), language_of(params.language))
    parts: dict[str, Part] = {}
    try:
        _read_into(parts, params, source)
        return _stored(parts, params, source, now)
    except SoftTimeLimitExceeded:
        # It is raised once. Drawing takes a few seconds, and the hard limit is a minute away.
        context.log("The time was over before the report was complete.", level="warning")
        return _stored(parts, params, source, now, is_late=True)


def _period(params: GenerateParams, now: datetime) -> Period:
    zone = zone_named(params.timezone)
    period = period_of(params.start, params.end, zone, now=now)
    if params.report_type != "analytics":
        return period
    hours = whole_hours(period.start, period.end, "total")
    return divided(hours.start, hours.end, zone)


def _read_into(parts: dict[str, Part], params: GenerateParams, source: Source) -> None:
    """Adds each part as soon as it is read, by its title. One that takes too long is left out."""
    wanted = _PARTS[params.report_type]
    for n, (title, read) in enumerate(wanted):
        source.context.progress(n, len(wanted) + 1, source.language.say(title))
        try:
            parts[title] = read(source)
        except TooSlow:
            source.context.log(f"PostgreSQL took too long for the part `{title}`, which is left out.", level="warning")


def _stored(
    parts: Mapping[str, Part], params: GenerateParams, source: Source, now: datetime, *, is_late: bool = False
) -> Generated:
    """`is_late`: the soft limit is over, so the task is partial, and the result says the same.

    Raises TaskError `report_too_slow` where no part was read.
    """
    if stored := kept(source.context):
        return _result(stored[0], params, is_late=is_late)
    if not parts:
        raise TaskError("report_too_slow", retryable=False)
    report = _report(parts, params, source, now)
    # ReportLab takes 60 ms to import: processes that make no report do without.
    from .document import pdf_of

    pdf = pdf_of(report, source.language)
    made = MadeFile(
        name=f"{params.report_type}-{dates(source.period)}.pdf",
        object_type="partial_report" if report.missing else "report",
        content_type="application/pdf",
        write=lambda writer: writer.write(pdf),
    )
    (item,) = keep(source.context, [made])
    return _result(item, params, is_late=is_late)


def _report(parts: Mapping[str, Part], params: GenerateParams, source: Source, now: datetime) -> Report:
    language, period = source.language, source.period
    start, end, at = (language.at(moment, period) for moment in (period.start, period.end, now))
    subtitles = [language.say("period", start=start, end=end, zone=period.zone.key), language.say("made_at", at=at)]
    if source.queues is not None:
        subtitles.append(language.say("only_queues", queues=", ".join(sorted(source.queues)) or NONE))
    return Report(
        title=language.say(f"{params.report_type}_title"),
        subtitles=subtitles,
        parts=list(parts.values()),
        missing=[language.say(title) for title, _ in _PARTS[params.report_type] if title not in parts],
    )


def _result(item: TreeItem, params: GenerateParams, *, is_late: bool = False) -> Generated:
    return Generated(
        status="partial" if is_late or item.object_type == "partial_report" else "complete",
        report_type=params.report_type,
        item_id=item.id,
        name=item.name,
        content_type=item.content_type,
        size=item.size,
    )

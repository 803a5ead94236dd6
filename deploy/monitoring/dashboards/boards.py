"""What all dashboards have in common: data source, variables, links to the others, ids and positions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.models.dashboard import (
    Dashboard,
    DashboardCursorSync,
    DashboardLinkType,
    VariableOption,
    VariableRefresh,
    VariableSort,
)

from .panels import SOURCE, Link, Panel
from .queries import PREFIX, matching

TAG = "taskyard"
OVERVIEW, TASK_TYPES, QUEUES, SCHEDULER, API = (
    f"taskyard-{name}" for name in ("overview", "task-types", "queues", "scheduler", "api")
)


@dataclass(frozen=True, slots=True)
class Row:
    title: str
    panels: Sequence[Panel]


def board(
    uid: str, title: str, description: str, rows: Sequence[Row], *, variables: Sequence[dashboard.QueryVariable] = ()
) -> Dashboard:
    """`variables` stand beside those that all dashboards have: data source and namespace."""
    made = dashboard.Dashboard(title).uid(uid).description(description).tags([TAG]).readonly()
    made.time("now-1h", "now").refresh("30s").timezone("browser").tooltip(DashboardCursorSync.CROSSHAIR)
    made.with_variable(dashboard.DatasourceVariable("datasource").label("Data source").type("prometheus"))
    for one in (NAMESPACE, *variables):
        made.with_variable(one)
    others = Link("Taskyard").type(DashboardLinkType.DASHBOARDS).tags([TAG]).as_dropdown(False)
    made.link(others.include_vars(True).keep_time(True))
    number = 0
    for row in rows:
        number += 1
        made.with_row(dashboard.Row(row.title).id(number))
        for panel in row.panels:
            number += 1
            made.with_panel(panel.id(number))
    return made.build()


def variable(name: str, label: str, metric: str, **labels: str) -> dashboard.QueryVariable:
    """One or several values of the label `name`, or all of them, which includes series without it."""
    found = f"{PREFIX}_{metric}" + matching(**labels)
    made = dashboard.QueryVariable(name).label(label).datasource(SOURCE).multi(True).include_all(True).all_value(".*")
    made.query(f"label_values({found}, {name})").sort(VariableSort.ALPHABETICAL_ASC)
    made.refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
    return made.current(VariableOption(selected=True, text=["All"], value=["$__all"]))


NAMESPACE = variable("namespace", "Namespace", "build_info")
QUEUE_CHOICE = variable("queue", "Queue", "queue_tasks", namespace="~$namespace")
TASK_CHOICE = variable("task", "Task type", "task_attempts_total", namespace="~$namespace", queue="~$queue")
ROUTE_CHOICE = variable("route", "Route", "http_requests_total", namespace="~$namespace")


def link(title: str, uid: str, *labels: str) -> Link:
    """To another dashboard: same time, data source and namespaces, and the values of these labels of the series that
    was clicked on."""
    chosen = "".join(f"&var-{label}=${{__field.labels.{label}}}" for label in labels)
    return (
        Link(title)
        .type(DashboardLinkType.LINK)
        .url(f"/d/{uid}?${{datasource:queryparam}}&${{namespace:queryparam}}{chosen}&${{__url_time_range}}")
    )

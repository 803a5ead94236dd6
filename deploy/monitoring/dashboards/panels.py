"""Panels in the one look that all of our dashboards have. Each has a unit and a description, which says what is normal
and what to do where it is not."""

from __future__ import annotations

from collections.abc import Sequence
from string import ascii_uppercase
from typing import TypeVar

from grafana_foundation_sdk.builders import common as shared
from grafana_foundation_sdk.builders import dashboard, heatmap, prometheus, stat, statetimeline, timeseries
from grafana_foundation_sdk.models import common
from grafana_foundation_sdk.models import heatmap as heat_models
from grafana_foundation_sdk.models.dashboard import (
    DataSourceRef,
    Threshold,
    ThresholdsMode,
    ValueMap,
    ValueMapping,
    ValueMappingResult,
)
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from .queries import Query

SOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")
PER_SECOND = "suffix:/s"
GREEN, ORANGE, RED, BLUE = "green", "orange", "red", "blue"
# In place of a figure that only the leading scheduler exports, some of them once it has counted.
NO_LEADER, NO_COUNT = "no leader", "no leader or no count"

Panel = timeseries.Panel | stat.Panel | heatmap.Panel | statetimeline.Panel
P = TypeVar("P", timeseries.Panel, stat.Panel, heatmap.Panel, statetimeline.Panel)
Link = dashboard.DashboardLink


def steps(first: str, *more: tuple[float, str]) -> dashboard.ThresholdsConfig:
    """Colours: the first, and others from a value on."""
    marks = [Threshold(value=None, color=first), *(Threshold(value=value, color=color) for value, color in more)]
    return dashboard.ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(marks)


def figure(
    title: str,
    promql: str,
    description: str,
    *,
    unit: str = "short",
    colours: dashboard.ThresholdsConfig | None = None,
    names: dict[str, tuple[str, str]] | None = None,
    links: Sequence[Link] = (),
    width: int = 4,
    legend: str = "",
    absent: str = "no data",
) -> stat.Panel:
    """What is so now. `names`: text and colour of a value; `absent`: what stands there where no replica exports it."""
    panel = stat.Panel().height(4).span(width).graph_mode(common.BigValueGraphMode.NONE).no_value(absent)
    panel.color_mode(common.BigValueColorMode.BACKGROUND if colours or names else common.BigValueColorMode.NONE)
    panel.reduce_options(shared.ReduceDataOptions().calcs(["lastNotNull"]))
    panel.thresholds(colours or steps(BLUE)).mappings(_mappings(names or {})).links(list(links))
    # What was last seen an hour ago would look like what is so now: hence an instant query.
    target = _target("A", Query(promql, legend)).instant()
    return _named(panel, title, description, unit).with_target(target)


def graph(
    title: str,
    queries: Sequence[Query],
    description: str,
    *,
    unit: str = "short",
    colours: dashboard.ThresholdsConfig | None = None,
    links: Sequence[Link] = (),
    width: int = 12,
    stacked: bool = False,
    most: float | None = None,
) -> timeseries.Panel:
    """Over time. `colours` are drawn as lines; `links` lead from a series to its details; `most`: the axis' end."""
    panel = timeseries.Panel().height(8).span(width).fill_opacity(25 if stacked else 8).min(0)
    panel.show_points(common.VisibilityMode.NEVER).data_links(list(links))
    legend = shared.VizLegendOptions().display_mode(common.LegendDisplayMode.TABLE).show_legend(True)
    panel.legend(legend.placement(common.LegendPlacement.BOTTOM).calcs(["lastNotNull", "max"]))
    panel.tooltip(shared.VizTooltipOptions().mode(common.TooltipDisplayMode.MULTI).sort(common.SortOrder.DESCENDING))
    if stacked:
        panel.stacking(shared.StackingConfig().mode(common.StackingMode.NORMAL).group("A"))
    if most is not None:
        panel.max(most)
    if colours:
        style = shared.GraphThresholdsStyleConfig().mode(common.GraphThresholdsStyleMode.DASHED)
        panel.thresholds(colours).thresholds_style(style)
    for letter, query in zip(ascii_uppercase, queries, strict=False):
        panel.with_target(_target(letter, query).range())
    return _named(panel, title, description, unit)


def heat_map(title: str, query: Query, description: str, *, unit: str = "s", width: int = 12) -> heatmap.Panel:
    """How many fell into each bucket of a histogram, over time."""
    panel = heatmap.Panel().height(8).span(width).calculate(False)
    panel.color(heatmap.HeatmapColorOptions().mode(heat_models.HeatmapColorMode.SCHEME).scheme("Oranges").steps(64))
    panel.y_axis(heatmap.YAxisConfig().unit(unit)).hide_y_histogram()
    panel.scale_distribution(shared.ScaleDistributionConfig().type(common.ScaleDistribution.LINEAR))
    target = _target("A", query).range().format(PromQueryFormat.HEATMAP)
    return _named(panel, title, description, unit).with_target(target)


def timeline(
    title: str,
    query: Query,
    description: str,
    *,
    names: dict[str, tuple[str, str]],
    width: int = 12,
    links: Sequence[Link] = (),
) -> statetimeline.Panel:
    """Which state something was in, over time; `names`: text and colour of each."""
    panel = statetimeline.Panel().height(8).span(width).mappings(_mappings(names)).data_links(list(links))
    panel.show_value(common.VisibilityMode.NEVER).merge_values(True).row_height(0.8).line_width(0).fill_opacity(70)
    return _named(panel, title, description, "short").with_target(_target("A", query).range())


def _named(panel: P, title: str, description: str, unit: str) -> P:
    return panel.title(title).description(description).unit(unit).datasource(SOURCE)


def _target(letter: str, query: Query) -> prometheus.Dataquery:
    made = prometheus.Dataquery().ref_id(letter).datasource(SOURCE).expr(query.promql)
    return made.legend_format(query.legend or "__auto")


def _mappings(names: dict[str, tuple[str, str]]) -> list[ValueMapping]:
    results = {value: ValueMappingResult(text=text, color=color) for value, (text, color) in names.items()}
    return [ValueMap(options=results)] if results else []

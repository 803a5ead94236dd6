"""The arithmetic of the benchmarks: a wrong figure there looks like any other."""

from dataclasses import replace
from typing import Any

import pytest

from benchmarks.bars import Bar, bars_table, percentile, ratio
from benchmarks.children import Memory, Successors
from benchmarks.floor import total
from benchmarks.report import Report
from benchmarks.soak import Soak
from benchmarks.stages import Sample, Watch, slowest

TASK = "0194f6a2-7c1e-7d3b-9f00-000000000001"


@pytest.mark.parametrize(
    ("value", "is_floor", "met"),
    [(1.0, False, True), (1.01, False, False), (1.0, True, True), (0.99, True, False), (float("nan"), True, False)],
)
def test_a_bar_is_met_at_its_limit_and_missed_beyond_it(value: float, is_floor: bool, met: bool) -> None:
    assert Bar("of it", value, 1.0, is_floor).is_met is met


def test_the_table_has_a_row_a_bar_with_one_figure_each() -> None:
    lines = bars_table([Bar("submits", 1.234, 1.0, True), Bar("memory", 3.0, 2.5)]).splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert rows[2:] == [["submits", "1.23", ">= 1", "met"], ["memory", "3.00", "<= 2.5", "MISSED"]]


def test_a_ratio_compares_within_each_round() -> None:
    """The machine was half as fast in the second round, for both."""
    assert ratio([100, 50, 120], [50, 25, 60]) == 2.0
    with pytest.raises(ValueError, match="zip"):
        ratio([1.0, 2.0], [1.0])


@pytest.mark.parametrize(("share", "expected"), [(0.5, 500), (0.99, 990), (1.0, 1000), (0.0, 1)])
def test_a_percentile_is_the_smallest_value_that_so_many_do_not_exceed(share: float, expected: int) -> None:
    assert percentile(list(range(1000, 0, -1)), share) == expected


def test_a_percentile_of_few_values_is_one_of_them() -> None:
    assert percentile([3.0], 0.99) == 3.0
    assert percentile([1.0, 2.0, 3.0], 0.5) == 2.0


def test_the_floor_counts_both_commits_of_the_path() -> None:
    parts = {"commit": [1.0, 9.0, 2.0], "publish": [0.5], "wake-up": [0.25], "fetch": [0.25]}
    assert total(parts) == 2 * 2.0 + 0.5 + 0.25 + 0.25


def test_the_stages_of_a_task_sum_up_to_its_whole_time() -> None:
    watch = Watch()
    watch.see(10.2, f"HSET taskyard:default.msgs {TASK}:1 {{}}", from_script=False)
    watch.see(10.2, "LPUSH taskyard:wake:default 1", from_script=False)
    watch.see(10.25, f"RPUSH taskyard:default {TASK}:1", from_script=False)
    watch.see(10.3, f"sadd taskyard:__acks__.child.default {TASK}:1", from_script=True)
    watch.see(10.6, f"SREM taskyard:__acks__.child.default {TASK}:1", from_script=False)
    watch.see(10.7, f"HDEL taskyard:default.msgs {TASK}:1", from_script=False)
    stages = watch.stages(TASK, submitted=10.0, started=10.65)
    assert stages == pytest.approx({"commit": 0.2, "wake-up": 0.1, "claim": 0.3, "start": 0.05})


def test_a_task_of_which_a_step_was_not_seen_has_no_stages() -> None:
    watch = Watch()
    watch.see(10.2, f"HSET taskyard:default.msgs {TASK}:1 {{}}", from_script=False)
    watch.see(10.6, f"SREM taskyard:__acks__.child.default {TASK}:1", from_script=False)
    assert watch.stages(TASK, submitted=10.0, started=10.65) is None


def test_the_slowest_hundredth_are_those_that_took_longest_in_all() -> None:
    samples = [Sample(took=n / 1000, waited=0.0, stages=None) for n in range(200)]
    assert [one.took for one in slowest(samples)] == [0.198, 0.199]
    assert slowest(samples[:5]) == [samples[4]]


class _Figures(dict[str, list[float]]):
    """Two rounds, of which the second was twice as slow for both sides."""

    def __missing__(self, name: str) -> list[float]:
        return [1.0, 2.0]


def test_a_report_has_a_bar_a_row_and_no_more() -> None:
    stages = {"commit": 0.004, "wake-up": 0.001, "claim": 0.003, "start": 0.002}
    report = Report(
        rounds=2,
        figures=_Figures({"task_worker": [0.5, 1.0], "bare_memory": [50.0]}),
        samples=[Sample(took=0.01, waited=0.0, stages=stages), Sample(took=0.02, waited=0.0, stages=None)],
        memory=[Memory(2, idle=100, worked=0), Memory(4, idle=0, worked=0), Memory(8, idle=0, worked=6 * 12 * 1024**2)],
        successors=Successors(took=[0.06, 0.03, 0.05], python=[0.02, 0.02, 0.02]),
        idle={"Taskyard": {"Redis commands/s": 9.0}, "Dramatiq": {"Redis commands/s": 16.0}},
    )
    values = {bar.title: bar.value for bar in report.bars()}
    assert len(values) == 11
    assert values["worker processor time a recorded task / Dramatiq"] == 0.5
    assert values["idle worker of 2 children, PSS / Dramatiq"] == 2.0
    assert values["memory of each further child that has worked, MiB"] == 12.0
    assert values["first task of a killed child's successor / Python"] == pytest.approx(2.5)
    printed = str(report)
    assert all(title in printed for title in (*values, *stages))


@pytest.mark.parametrize(
    ("changed", "missed"),
    [
        ({}, []),
        ({"seconds": 66.7}, ["900 of 1,000 tasks a second were carried; try a lower --rate"]),
        ({"wal_bytes": 2_100.0}, ["WAL bytes a task: 2,100.00 > 2,048"]),
        ({"last_p99": 0.2}, ["last minute's p99 / the first's: 2.00 > 1.5"]),
    ],
)
def test_a_soak_misses_its_bars_and_a_rate_that_was_not_carried(changed: dict[str, Any], missed: list[str]) -> None:
    found = Soak(60_000, 60.0, 2_000.0, 2.0, standing=0, first_p99=0.1, last_p99=0.1, processor={})
    assert replace(found, **changed).misses(1_000) == missed

"""What a draw tells its task: no line of its log is lost without a word."""

import io
import json
from typing import Any

from taskyard_kits.selection.channel import LINES_PER_SECOND, MAX_LINES_AT_ONCE, Channel


def log(lines: int, *, then: float = 0) -> list[Any]:
    """What arrives of so many lines at once, of one more after so many seconds, and of the end."""
    now = 0.0
    file = io.StringIO()
    channel = Channel(file, lambda: now)
    for n in range(lines):
        channel.log(str(n))
    if then:
        now += then
        channel.log("later")
    channel.end_log()
    return [json.loads(line)["log"] for line in file.getvalue().splitlines()]


def test_what_is_left_out_at_the_end_of_the_log_is_counted() -> None:
    assert log(120) == [*map(str, range(MAX_LINES_AT_ONCE)), "(70 lines left out)"]


def test_what_is_left_out_before_another_line_is_counted_there() -> None:
    assert log(51, then=1 / LINES_PER_SECOND)[MAX_LINES_AT_ONCE:] == ["(1 lines left out)", "later"]


def test_a_log_of_which_all_arrived_says_nothing_of_it() -> None:
    assert log(3) == ["0", "1", "2"]

"""The course of one fault: a healthy time, the fault until its alert is told, the mend until all alerts are over."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import mkdtemp

from taskyard.environment import env_file
from taskyard_dev.home import write_private
from tests.support.fleet import wait_for

from .faults import Fault
from .load import ordinary_load
from .monitors import Monitors, monitors
from .stack import JOBS, Stack, stack
from .watch import Seen, Watch

_START_SECONDS = 120
_LOOK_SECONDS = 1.0
_QUIET_SECONDS = 8 * 60.0  # after a fault of which nobody is to be told


class Ended(Exception):
    pass


@dataclass(frozen=True, slots=True)
class Times:
    """In seconds: before the fault, for its alert, for others after it, and for all of them to be over."""

    healthy: float
    fault: float
    others: float
    mended: float
    ended: threading.Event
    """Set when the drill has to end before its time."""

    def until(self, condition: Callable[[], bool], seconds: float) -> None:
        """Raises `Ended`."""
        deadline = time.monotonic() + seconds
        while not condition() and time.monotonic() < deadline:
            self.ended.wait(_LOOK_SECONDS)
            self.check()

    def check(self) -> None:
        """Raises `Ended`."""
        if self.ended.is_set():
            raise Ended("the drill was told to end")


@dataclass(slots=True)
class Course:
    fault: Fault
    fired_while_healthy: list[str] = field(default_factory=list)
    began: float = 0.0
    mended: float = 0.0
    alerts: dict[str, Seen] = field(default_factory=dict)
    broken: str = ""
    """Why it did not come to its end."""

    @property
    def expected(self) -> list[Seen]:
        wanted = f"{self.fault.expected} ("
        return [seen for name, seen in self.alerts.items() if name.startswith(wanted) and seen.firing]

    def holds_up(self, active: AbstractSet[str]) -> AbstractSet[str]:
        """Those whose end is waited for: pages, and the expected one. Other tickets look back over hours."""
        return {name for name in active if name.endswith("(page)") or name.startswith(f"{self.fault.expected} (")}

    @property
    def wrong(self) -> list[str]:
        found = [f"{name} fired while all was well" for name in self.fired_while_healthy]
        if self.fault.expected is None:
            found += [f"{name} fired, and none may" for name, seen in self.alerts.items() if seen.firing]
        elif not self.expected:
            found.append(f"{self.fault.expected} did not fire")
        elif not any(seen.notified for seen in self.expected):
            found.append(f"nobody was told of {self.fault.expected}")
        elif any(seen.resolved is None for seen in self.expected):
            found.append(f"{self.fault.expected} was not resolved")
        return [*found, self.broken] if self.broken else found


def run(fault: Fault, times: Times, say: Callable[[str], None], keep: Callable[[str], None] | None = None) -> Course:
    """`keep`: is told the file with the addresses of the faulty stack, and returns when nobody needs it any more."""
    times.check()
    course = Course(fault)
    home = Path(mkdtemp(prefix="taskyard-drill-"))
    home.chmod(0o711)
    say(f"in {home}; the addresses are in {home / 'drill.env'}")
    with stack(home) as made, ordinary_load(made.fleet), monitors(home, made.ports) as seen:
        watch = Watch(seen)
        _write_addresses(made, seen)
        wait_for(lambda: seen.prometheus.value("sum(up)") == len(JOBS), _START_SECONDS, "every target", every=1.0)
        with watch.watching():
            try:
                _follow(course, made, watch, times, say, keep)
            finally:
                course.alerts = watch.alerts
    if not course.wrong:
        shutil.rmtree(home)
    return course


def _follow(
    course: Course,
    made: Stack,
    watch: Watch,
    times: Times,
    say: Callable[[str], None],
    keep: Callable[[str], None] | None,
) -> None:
    times.until(lambda: False, times.healthy)
    course.fired_while_healthy = [name for name, seen in watch.alerts.items() if seen.firing]
    watch.forget()
    course.began = time.time()
    say(course.fault.what)
    with course.fault.done_to(made):
        course.alerts = watch.alerts
        longest = times.fault if course.fault.expected else min(times.fault, _QUIET_SECONDS)
        times.until(lambda: any(seen.notified for seen in course.expected), longest)
        say("told" if course.expected else "no expected alert fired")
        times.until(lambda: False, times.others)
        if keep is not None:
            keep(str(made.home / "drill.env"))
    course.mended = time.time()
    say("mended")
    times.until(lambda: not course.holds_up(watch.now_active), times.mended)
    say(f"over, but for {', '.join(sorted(watch.now_active)) or 'nothing'}")


def _write_addresses(made: Stack, seen: Monitors) -> None:
    """What the commands of runbooks need."""
    urls = {"PROMETHEUS_URL": seen.prometheus.url, "ALERTMANAGER_URL": seen.alertmanager_url}
    write_private(made.home / "drill.env", made.addresses() + env_file(urls))

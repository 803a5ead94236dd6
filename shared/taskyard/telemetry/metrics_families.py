"""The children of labelled metrics, and the state of the servers that a service depends on."""

from __future__ import annotations

import itertools
import logging
import math
import time
from bisect import bisect_left
from collections import Counter as Counts
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import prometheus_client
import redis
from prometheus_client import Counter, Gauge

from ..domain.errors import BrokerFull

log = logging.getLogger(__name__)

OTHER = "_other"

Labels = Mapping[str, Collection[str]]


class Histogram(prometheus_client.Histogram):
    """One that takes many values at a time."""

    def observe_all(self, amounts: Sequence[float]) -> None:
        """As `observe` for each, at the cost of a few: only the sums are written."""
        self._raise_if_not_observable()  # type: ignore[no-untyped-call]
        self._sum.inc(sum(amounts))
        for place, count in Counts(bisect_left(self._upper_bounds, amount) for amount in amounts).items():
            self._buckets[place].inc(count)


M = TypeVar("M", Counter, Gauge, Histogram)


# Each name of a task type costs some thirty series in each queue.
MAX_TASK_NAMES = 200
# Label sets of a metric that exist because something was counted under them, beside those that are known from the
# start: callers choose some of the combinations (a type's queue, a method on a route).
MAX_MET = 300


class GrowingLabel(Collection[str]):
    """A registry of label values that grows, as workers register task types, up to `ceiling`; later values count as
    `_other`. Values stay: a series that vanished would look like a counter that was reset."""

    def __init__(self, ceiling: int = MAX_TASK_NAMES) -> None:
        self.ceiling = ceiling
        self._values: set[str] = set()

    def add(self, value: str) -> bool:
        """Whether it is in the registry now."""
        if len(self._values) < self.ceiling:
            self._values.add(value)
        return value in self._values

    def __contains__(self, value: object) -> bool:
        return value in self._values

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._values))

    def __len__(self) -> int:
        return len(self._values)


class Family(dict[Any, M], Generic[M]):
    """The children of a labelled metric: `family["default"]`, or `family["default", "email.send"]`.

    A value that is not in its registry becomes `_other`, so that callers cannot create series. A known label set costs
    one look-up in a dict. Others are made as they are met, `MAX_MET` of them; after these, the label that may
    have most values becomes `_other`, too: the task type of an attempt, whose outcome still counts.
    """

    def __init__(
        self, make: Callable[[tuple[str, ...]], M], labels: Labels, known: Iterable[Sequence[str]] | None
    ) -> None:
        super().__init__()
        self._make: Callable[[tuple[str, ...]], M] = make
        self._registries = [r if isinstance(r, GrowingLabel) else frozenset(r) for r in labels.values()]
        sizes = [r.ceiling if isinstance(r, GrowingLabel) else len(r) for r in self._registries]
        self._widest = sizes.index(max(sizes))
        self._room = MAX_MET
        self._expected: set[str | tuple[str, ...]] = set()
        self.know(known if known is not None else itertools.product(*labels.values()))

    def know(self, label_sets: Iterable[Sequence[str]], *, from_start: bool = True) -> None:
        """These series exist from now on, or from when something is counted under them: where another process, whose
        metrics are served together with those of this one, shows them until then."""
        safe = [self._safe(tuple(values)) for values in label_sets]
        if not from_start:
            self._expected.update(map(_key, safe))
        for values in safe if from_start else ():
            self._add(values)

    def key(self, given: str | tuple[str, ...]) -> str | tuple[str, ...]:
        """The label values under which `given` is counted, which exist from now on: unknown ones become `_other`."""
        values: tuple[str, ...] = self._safe((given,) if isinstance(given, str) else given)
        if _key(values) not in self:
            if values[self._widest] != OTHER and _key(values) not in self._expected:
                if self._room > 0:
                    self._room -= 1
                else:
                    values = (*values[: self._widest], OTHER, *values[self._widest + 1 :])
            self._add(values)
        return _key(values)

    def __missing__(self, given: str | tuple[str, ...]) -> M:
        return dict.__getitem__(self, self.key(given))

    def _safe(self, values: tuple[str, ...]) -> tuple[str, ...]:
        if len(values) != len(self._registries):
            raise KeyError(values)
        return tuple(v if v in registry else OTHER for v, registry in zip(values, self._registries, strict=True))

    def _add(self, values: tuple[str, ...]) -> None:
        # Stored under the safe key only: unknown values must not fill this dict, either.
        if _key(values) not in self:
            self.setdefault(_key(values), self._make(values))


def _key(values: tuple[str, ...]) -> str | tuple[str, ...]:
    return values[0] if len(values) == 1 else values


@dataclass(slots=True)
class Dependency:
    """Whether a server answers: a gauge, and a log line for each change, not for each try."""

    name: str
    gauge: Gauge
    is_up: bool | None = None
    answered_at: float = -math.inf

    def answered(self) -> None:
        self.answered_at = time.monotonic()
        if self.is_up is not True:
            if self.is_up is False:
                log.info("dependency_up", extra={"dependency": self.name})
            self.is_up = True
            self.gauge.set(1)

    @contextmanager
    def watched(self, away: type[Exception]) -> Iterator[None]:
        """For a block that calls the server; it raises `away` where the server does not answer."""
        began = time.monotonic()
        try:
            yield
        except away as e:
            self.failed(e, began=began)
            raise
        self.answered()

    def failed(self, error: BaseException, *, began: float = math.inf) -> None:
        """A server that refuses a call for want of memory answers: the metrics of its memory tell of that.

        `began`: when the call began (`time.monotonic()`). Where the server has answered another call since then, the
        failure says nothing of how it is now: a connection that was refused a moment before the server was back."""
        if isinstance(error, BrokerFull | redis.OutOfMemoryError):
            self.answered()
        elif self.is_up is not False and began > self.answered_at:
            said = (str(error) or type(error).__name__).splitlines()[0]
            log.warning("dependency_down", extra={"dependency": self.name, "error": said})
            self.is_up = False
            self.gauge.set(0)

"""PromQL as our dashboards need it: right with several replicas, and with or without a label `namespace`.

A series without a label matches the pattern `.*`, which is what the variables stand for while all of their values are
chosen. So one query does for Compose, which has no namespaces, and for Kubernetes.
"""

from __future__ import annotations

from dataclasses import dataclass

PREFIX = "taskyard"
QUEUE = 'queue=~"$queue"'
TASK = 'task=~"$task"'
ROUTE = 'route=~"$route"'


@dataclass(frozen=True, slots=True)
class Query:
    """`legend`: the name of a series, in which `{{label}}` stands for the value of a label."""

    promql: str
    legend: str = ""


def series(metric: str, *matchers: str) -> str:
    """Those of the chosen namespaces."""
    return f"{PREFIX}_{metric}{{{', '.join(('namespace=~"$namespace"', *matchers))}}}"


def total(metric: str, *matchers: str, by: str = "") -> str:
    """A gauge, all replicas together."""
    return f"sum{_by(by)} ({series(metric, *matchers)})"


def rate(counter: str, *matchers: str, by: str = "") -> str:
    """A second, all replicas together."""
    return f"sum{_by(by)} (rate({series(counter, *matchers)}[$__rate_interval]))"


def increase(counter: str, *matchers: str, by: str = "", over: str = "$__rate_interval") -> str:
    return f"sum{_by(by)} (increase({series(counter, *matchers)}[{over}]))"


def quantile(share: float, histogram: str, *matchers: str, by: str = "") -> str:
    buckets = rate(f"{histogram}_bucket", *matchers, by=_and(by, "le"))
    return f"histogram_quantile({share}, {buckets})"


def quantiles(histogram: str, *matchers: str) -> list[Query]:
    return [Query(quantile(share, histogram, *matchers), f"p{share * 100:g}") for share in (0.5, 0.95, 0.99)]


def heat(histogram: str, *matchers: str) -> Query:
    """For a heatmap: how many fell into each bucket."""
    return Query(increase(f"{histogram}_bucket", *matchers, by="le"), "{{le}}")


def of_leader(gauge: str, *matchers: str, labels: str = "", by: str = "") -> str:
    """A gauge that only the leading scheduler exports. Around a change of leaders Prometheus may have it of both, and
    it counts once. `labels`: those that the gauge has; `by`: those that remain."""
    leaders = f"max by ({_and('namespace', labels)}) ({series(gauge, *matchers)})"
    return f"sum{_by(by)} ({leaders})"


def age(timestamp: str, *matchers: str, by: str = "") -> str:
    """How long ago, in seconds, the earliest of these times was; 0 where the time is 0, which means none."""
    at = series(timestamp, *matchers)
    return f"max{_by(by)} ((time() - {at}) * ({at} > bool 0))"


def since(timestamp: str, *matchers: str) -> str:
    """How long ago, in seconds, the latest of these times was."""
    return f"time() - max({series(timestamp, *matchers)})"


def share(part: str, whole: str) -> str:
    """0 while there is nothing to divide."""
    return f"({part}) / (({whole}) > 0) or vector(0)"


def or_zero(promql: str) -> str:
    """For what no series stands for while all is well."""
    return f"{promql} or vector(0)"


def _by(labels: str) -> str:
    return f" by ({labels})" if labels else ""


def _and(*labels: str) -> str:
    return ", ".join(label for label in labels if label)

"""PromQL as our dashboards need it: right with several replicas, and with or without a label `namespace`.

A series without a label matches the pattern `.*`, which is what the variables stand for while all of their values are
chosen. So one query does for Compose, which has no namespaces, and for Kubernetes.
"""

from __future__ import annotations

from dataclasses import dataclass

PREFIX = "taskyard"
# Grafana makes it at least four scrapes, so that no step of the picture misses one.
NOW = "$__rate_interval"
# What tells one process that is scraped from another.
_PROCESS = "namespace, job, instance"


@dataclass(frozen=True, slots=True)
class Query:
    """`legend`: the name of a series, in which `{{label}}` stands for the value of a label."""

    promql: str
    legend: str = ""


def series(metric: str, **labels: str) -> str:
    """Those of the chosen namespaces with these labels; a value may begin with `~` or `!~`, and is a pattern then."""
    return PREFIX + "_" + metric + matching(namespace="~$namespace", **labels)


def matching(**labels: str) -> str:
    """A selector of series, in braces."""
    return f"{{{', '.join(map(_matcher, labels, labels.values()))}}}"


def total(metric: str, by: str = "", **labels: str) -> str:
    """A gauge, all replicas together."""
    return f"sum{_by(by)}({series(metric, **labels)})"


def rate(counter: str, by: str = "", *, over: str = NOW, **labels: str) -> str:
    """A second, all replicas together."""
    return f"sum{_by(by)}(rate({series(counter, **labels)}[{over}]))"


def increase(counter: str, by: str = "", **labels: str) -> str:
    return f"sum{_by(by)}(increase({series(counter, **labels)}[$__rate_interval]))"


def quantile(share: float, histogram: str, by: str = "", **labels: str) -> str:
    buckets = rate(f"{histogram}_bucket", _and(by, "le"), **labels)
    return f"histogram_quantile({share}, {buckets})"


def quantiles(histogram: str, **labels: str) -> list[Query]:
    return [Query(quantile(share, histogram, **labels), f"p{share * 100:g}") for share in (0.5, 0.95, 0.99)]


def heat(histogram: str, **labels: str) -> Query:
    """For a heatmap: how many fell into each bucket."""
    return Query(increase(f"{histogram}_bucket", "le", **labels), "{{le}}")


def of_leader(gauge: str, own: str = "", by: str = "", **labels: str) -> str:
    """A gauge that only the leading scheduler exports. Around a change of leaders Prometheus may have it of both, and
    it counts once. `own`: the labels that the gauge has; `by`: those that remain."""
    leaders = f"max by ({_and('namespace', own)}) ({series(gauge, **labels)})"
    return f"sum{_by(by)}({leaders})"


def age(timestamp: str, by: str = "", **labels: str) -> str:
    """How long ago, in seconds, the earliest of these times was; 0 where the time is 0, which means none."""
    at = series(timestamp, **labels)
    return f"max{_by(by)}((time() - {at}) * ({at} > bool 0))"


def since(timestamp: str, **labels: str) -> str:
    """How long ago, in seconds, the latest of these times was; nothing where all are 0, which means none."""
    return f"time() - max({series(timestamp, **labels)} > 0)"


def leaders_only(promql: str) -> str:
    """Of a gauge that those who stand by export, too."""
    return f"({promql} and on ({_PROCESS}) {series('scheduler_is_leader')} == 1)"


def with_service(promql: str) -> str:
    """With the label `service`, where `job` may be called anything."""
    return f"{promql} * on ({_PROCESS}) group_left (service) {series('build_info')}"


def share(part: str, whole: str) -> str:
    """0 while there is nothing to divide."""
    return f"({part}) / (({whole}) > 0) or vector(0)"


def share_of_limit(used: str, limit: str) -> str:
    """0 where the limit is 0, which means none; nothing where it is not known."""
    return f"({used}) / (({limit}) > 0) or 0 * ({limit})"


def or_zero(promql: str) -> str:
    """For what has no series while all is well."""
    return f"{promql} or vector(0)"


def or_none(promql: str, label: str) -> str:
    """The same for series that have this label: a single 0 under the name `none`."""
    return f'{promql} or on () label_replace(vector(0), "{label}", "none", "", "")'


def top(promql: str, label: str) -> str:
    """The 15 highest series of many, without those that are 0."""
    return or_none(f"topk(15, {promql} > 0)", label)


def _matcher(label: str, value: str) -> str:
    pattern = value.lstrip("!~")
    operator = {"": "=", "~": "=~", "!~": "!~"}[value[: len(value) - len(pattern)]]
    return f'{label}{operator}"{pattern}"'


def _by(labels: str) -> str:
    return f" by ({labels}) " if labels else ""


def _and(*labels: str) -> str:
    return ", ".join(label for label in labels if label)

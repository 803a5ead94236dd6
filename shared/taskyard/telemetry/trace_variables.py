"""OpenTelemetry's variables, checked before the SDK reads them: it raises errors that name none, takes its default
after a log line, or sends nothing and says so with each batch.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit

_SIGNAL, _ALL = "OTEL_EXPORTER_OTLP_TRACES_", "OTEL_EXPORTER_OTLP_"
_PROTOCOL = "http/protobuf"
_RATIO = {"traceidratio", "parentbased_traceidratio"}
_SAMPLERS = _RATIO | {"always_on", "always_off", "parentbased_always_on", "parentbased_always_off"}
_QUEUE = 2048
_BATCH = 512


class ExportsMisconfigured(ValueError):
    """One line that names the variable."""


def are_traces_on(environment: Mapping[str, str]) -> bool:
    """Raises ExportsMisconfigured for a value that cannot be used where they are on."""
    if not any(environment.get(f"{prefix}ENDPOINT") for prefix in (_SIGNAL, _ALL)):
        return False
    if environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    if environment.get("OTEL_TRACES_EXPORTER", "otlp").strip().lower() == "none":
        return False
    for name, value, is_right, words in _checks(environment):
        if value and not is_right(value):
            raise ExportsMisconfigured(f"{name}: {words}")
    if batch_of(environment) > queue_of(environment):
        raise ExportsMisconfigured("OTEL_BSP_MAX_EXPORT_BATCH_SIZE: must not exceed OTEL_BSP_MAX_QUEUE_SIZE")
    return True


def queue_of(environment: Mapping[str, str]) -> int:
    """How many spans may wait."""
    return int(environment.get("OTEL_BSP_MAX_QUEUE_SIZE") or _QUEUE)


def batch_of(environment: Mapping[str, str]) -> int:
    """How many are sent at once. A small queue needs no second variable."""
    return int(environment.get("OTEL_BSP_MAX_EXPORT_BATCH_SIZE") or min(_BATCH, queue_of(environment)))


def _checks(environment: Mapping[str, str]) -> Iterator[tuple[str, str, Callable[[str], bool], str]]:
    """Name, value, whether that can be used, and what is said where not."""

    def of(name: str, is_right: Callable[[str], bool], words: str) -> tuple[str, str, Callable[[str], bool], str]:
        return name, environment.get(name, ""), is_right, words

    for prefix in (_SIGNAL, _ALL):
        yield of(f"{prefix}ENDPOINT", _is_address, "must be like http://collector:4318")
        yield of(f"{prefix}PROTOCOL", _PROTOCOL.__eq__, f"must be {_PROTOCOL}, the only protocol spoken here")
        yield of(f"{prefix}TIMEOUT", _is_positive, "must be a positive number of seconds")
        yield of(f"{prefix}COMPRESSION", _is_one_of({"none", "gzip", "deflate"}), "must be none, gzip or deflate")
        for kind in ("CERTIFICATE", "CLIENT_CERTIFICATE", "CLIENT_KEY"):
            yield of(f"{prefix}{kind}", _is_readable, "no such file, or it cannot be read")
    for name in ("SCHEDULE_DELAY", "MAX_QUEUE_SIZE", "MAX_EXPORT_BATCH_SIZE", "EXPORT_TIMEOUT"):
        yield of(f"OTEL_BSP_{name}", _is_count, "must be a whole number above 0")
    yield of("OTEL_TRACES_SAMPLER", _is_one_of(_SAMPLERS), f"must be one of {', '.join(sorted(_SAMPLERS))}")
    if environment.get("OTEL_TRACES_SAMPLER", "").lower() in _RATIO:
        yield of("OTEL_TRACES_SAMPLER_ARG", _is_share, "must be a number from 0 to 1")


def _is_address(value: str) -> bool:
    try:
        url = urlsplit(value)
        return url.scheme in {"http", "https"} and bool(url.hostname) and url.port != 0
    except ValueError:
        return False


def _is_readable(value: str) -> bool:
    return Path(value).is_file() and os.access(value, os.R_OK)


def _is_count(value: str) -> bool:
    return value.isdecimal() and int(value) > 0


def _is_positive(value: str) -> bool:
    return 0 < _number(value) < math.inf


def _is_share(value: str) -> bool:
    return 0 <= _number(value) <= 1


def _number(value: str) -> float:
    try:
        return float(value)
    except ValueError:
        return math.nan


def _is_one_of(values: set[str]) -> Callable[[str], bool]:
    return lambda value: value.strip().lower() in values

"""The targets of a draw, read from their table. What the library tells without a code, or passes over, is refused."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from requests.structures import CaseInsensitiveDict
from sortition_algorithms import read_in_features
from sortition_algorithms.errors import ParseTableMultiError, SelectionMultilineError
from sortition_algorithms.features import report_min_max_error_details_structured

from .failures import Failure, Features, cell, joined
from .tables import Table

MAX_QUOTA = 1_000_000_000
_FEATURE_COLUMNS = (("feature", "value"), ("category", "name"))


def features_of(quotas: Table) -> Features:
    """Raises Failure, and errors of the library."""
    _check_header(quotas.header)
    rows = [dict(zip(quotas.header, row, strict=True)) for row in quotas.rows]
    _check_names(quotas.header, rows)
    features = _read(quotas.header, rows)
    _check_numbers(rows)
    if not features:
        raise Failure("table_empty", {"table": {"phrase": "quotas"}})
    return features


def _check_numbers(rows: list[dict[str, str]]) -> None:
    """Of numbers that have been read: the library takes `1_0` for 10, and the digits of every script."""
    numbers = [
        (text, cell(row, column, text))
        for row, found in enumerate(rows, start=2)
        for column in ("min", "max", "min_flex", "max_flex")
        if (text := found.get(column, "").strip())
    ]
    if odd := [told for text, told in numbers if "_" in text or not text.isascii()]:
        raise Failure("not_a_number", {"cells": joined(odd), "count": len(odd)})
    if wrong := [told for text, told in numbers if not 0 <= int(text) <= MAX_QUOTA]:
        raise Failure("quota_out_of_range", {"limit": MAX_QUOTA, "cells": joined(wrong)})


def _read(header: list[str], rows: list[dict[str, str]]) -> Features:
    try:
        features, _, _ = read_in_features(header, rows)
    except ParseTableMultiError:
        raise
    except SelectionMultilineError as e:
        raise _contradiction(header, rows) from e
    return features


def _contradiction(header: list[str], rows: list[dict[str, str]]) -> Failure:
    """One feature asks for more people than another allows. The library tells it in lines, and in numbers to those who
    have read the features, so each is read alone."""
    column = next(feature for feature, _ in _FEATURE_COLUMNS if feature in header)
    groups: Mapping[str, list[dict[str, str]]] = defaultdict(list)
    for row in rows:
        groups[row[column].strip().lower()].append(row)
    features: Features = CaseInsensitiveDict()
    for group in groups.values():
        features.update(read_in_features(header, group)[0])
    (issue,) = report_min_max_error_details_structured(features)
    values = {
        "min_feature": issue.largest_minimum_feature,
        "min_val": issue.largest_minimum_value,
        "max_feature": issue.smallest_maximum_feature,
        "max_val": issue.smallest_maximum_value,
    }
    return Failure("inconsistent_min_max_header", values, tuple(issue.message.splitlines()))


def _check_header(header: list[str]) -> None:
    """The library tells these two in lines without a code."""
    names = next((pair for pair in _FEATURE_COLUMNS if pair[0] in header), _FEATURE_COLUMNS[0])
    for name in (*names, "min", "max"):
        count = header.count(name)
        if count == 0:
            raise Failure("missing_required_column", {"field_name": name})
        if count > 1:
            raise Failure("duplicate_required_column", {"field_name": name, "count": count})


def _check_names(header: list[str], rows: list[dict[str, str]]) -> None:
    """The library passes over a row without a feature, and of two rows for one value it takes the second."""
    feature, value = next(pair for pair in _FEATURE_COLUMNS if pair[0] in header)
    unnamed, repeated, seen = [], [], set()
    for number, row in enumerate(rows, start=2):
        target = (row[feature].strip().lower(), row[value].strip().lower())
        if not target[0] and any(text.strip() for text in row.values()):
            unnamed.append(cell(number, feature, row[feature]))
        elif all(target) and target in seen:
            repeated.append(cell(number, value, row[value]))
        seen.add(target)
    if unnamed:
        raise Failure("quota_without_feature", {"cells": joined(unnamed)})
    if repeated:
        raise Failure("quota_repeated", {"cells": joined(repeated)})

"""Draws a panel with the library sortition-algorithms, from tables that have been read."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import highspy
from requests.structures import CaseInsensitiveDict
from sortition_algorithms import check_people_per_feature_value, read_in_features, read_in_people, run_stratification
from sortition_algorithms.committee_generation import GUROBI_AVAILABLE
from sortition_algorithms.errors import ParseTableMultiError, SelectionMultilineError
from sortition_algorithms.features import iterate_feature_collection, report_min_max_error_details_structured
from sortition_algorithms.people import People
from sortition_algorithms.settings import Settings

from .channel import Channel, Progress
from .declarations import QuotaMet, SelectionParams
from .failures import MAX_VALUE, Failure, Features, cell, joined, of_error
from .tables import Table

MAX_QUOTA = 1_000_000_000
MAX_REPORT = 4 * 1024**2  # characters of the whole report
_FEATURE_COLUMNS = (("feature", "value"), ("category", "name"))


def use_one_thread() -> None:
    """Has HiGHS start no threads of its own in this process: they wait by spinning, so that a draw takes twice the
    processor time, and how many there are depends on the machine. The first model that is solved decides."""
    solver: Any = highspy.Highs()  # type: ignore[no-untyped-call]
    solver.setOptionValue("output_flag", False)
    solver.setOptionValue("threads", 1)
    solver.maximize(solver.addVariable(lb=0.0, ub=1.0))


def drawn(people: Table, quotas: Table, params: SelectionParams, seed: int, channel: Channel) -> dict[str, Any]:
    """What the parent needs for lists and result. People are told by their number, from 0. Raises Failure."""
    features: Features = CaseInsensitiveDict()
    try:
        features = _features(quotas)
        _check_number(features, params.number_to_select)
        return _drawn(people, features, params, seed, channel)
    except MemoryError:
        raise
    except Exception as e:
        raise of_error(e, features, attempts=params.max_attempts) from e


def _drawn(people: Table, features: Features, params: SelectionParams, seed: int, channel: Channel) -> dict[str, Any]:
    settings = _settings(params, seed)
    ids = _ids(people, params.id_column)
    rows = (dict(zip(people.header, row, strict=True)) for row in people.rows)
    pool, report = read_in_people(people.header, rows, features, settings)
    if params.check_same_address:
        _check_addresses(people, params.check_same_address_columns)
    _check_pool(pool, features, params.number_to_select)
    algorithm = params.selection_algorithm
    if algorithm == "leximin" and not GUROBI_AVAILABLE:
        algorithm = "maximin"
        channel.log("leximin needs Gurobi, which is not installed here: maximin is used instead.")
    found, panels, its_report = run_stratification(
        features,
        pool,
        params.number_to_select,
        settings,
        max_seconds=params.max_seconds,
        progress_reporter=Progress(channel),
    )
    report.add_report(its_report)
    # Most failures are not raised.
    if not found:
        raise report.last_error() or RuntimeError("the library found no panel and gave no reason")
    (panel,) = panels
    quotas = _quotas(pool, features, panel)
    elements = report.serialize()["_data"]
    return {
        "selected": sorted(ids[person] for person in panel),
        "remaining": sorted(ids[person] for person in _remaining(pool, panel, settings)),
        "columns": _columns(people.header, features, params),
        "algorithm": algorithm,
        "quotas": quotas,
        "report": [element["line"] for element in elements if "line" in element],
        "whole_report": report.as_text()[:MAX_REPORT],
    }


def _settings(params: SelectionParams, seed: int) -> Settings:
    return Settings(
        id_column=params.id_column,
        columns_to_keep=params.columns_to_keep or [],
        check_same_address=params.check_same_address,
        check_same_address_columns=params.check_same_address_columns if params.check_same_address else [],
        max_attempts=params.max_attempts,
        selection_algorithm=params.selection_algorithm,
        solver_backend=params.solver_backend,
        random_number_seed=seed,
    )


def _features(quotas: Table) -> Features:
    _check_header(quotas.header)
    rows = [dict(zip(quotas.header, row, strict=True)) for row in quotas.rows]
    _check_names(quotas.header, rows)
    features = _read(quotas.header, rows)
    wrong = [
        cell(row, column, text)
        for row, found in enumerate(rows, start=2)
        for column in ("min", "max", "min_flex", "max_flex")
        if (text := found.get(column, "").strip()) and not 0 <= int(text) <= MAX_QUOTA
    ]
    if wrong:
        raise Failure("quota_out_of_range", {"limit": MAX_QUOTA, "cells": joined(wrong)})
    if not features:
        raise Failure("table_empty", {"table": {"phrase": "quotas"}})
    return features


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


def _check_addresses(people: Table, columns: list[str]) -> None:
    """To the library all people without an address live at one."""
    wanted = {column.strip().lower() for column in columns}
    places = [place for place, name in enumerate(people.header) if name.strip().lower() in wanted]
    missing = [
        cell(number, people.header[places[0]], "")
        for number, row in enumerate(people.rows, start=2)
        if any(row) and not any(row[place].strip() for place in places)
    ]
    if missing:
        raise Failure("address_missing", {"cells": joined(missing), "count": len(missing)})


def _check_number(features: Features, number: int) -> None:
    ranges = {
        name: (sum(value.min for value in values.values()), sum(value.max for value in values.values()))
        for name, values in features.items()
    }
    wrong = [f"{name} {low} … {high}" for name, (low, high) in ranges.items() if not low <= number <= high]
    if wrong:
        raise Failure("desired_out_of_range", {"desired": number, "ranges": joined(wrong)})


def _check_pool(pool: People, features: Features, number: int) -> None:
    if len(pool) < number:
        raise Failure("too_few_people", {"people": len(pool), "wanted": number})
    if issues := check_people_per_feature_value(features, pool):
        short = (f"{i.feature_name}/{i.value_name}: {i.actual_count} < {i.min_required}" for i in issues)
        raise Failure("not_enough_people", {"shortages": joined(short)})


def _ids(people: Table, id_column: str) -> dict[str, int]:
    """The number of the row of each id; of equal rows the first. The library looks at the column's name."""
    at = next((n for n, name in enumerate(people.header) if name.lower() == id_column.lower()), None)
    rows_of: dict[str, list[int]] = defaultdict(list)
    for number, row in enumerate(people.rows if at is not None else ()):
        if person := row[at or 0].strip():
            rows_of[person].append(number)
    differing = {
        person: numbers
        for person, numbers in rows_of.items()
        if len({tuple(cell.strip() for cell in people.rows[number]) for number in numbers}) > 1
    }
    if differing:
        told = (f"{person[:100]}: {', '.join(str(n + 2) for n in numbers)}" for person, numbers in differing.items())
        raise Failure("duplicate_id_header", {"count": len(differing), "ids": "; ".join(told)[:MAX_VALUE]})
    return {person: numbers[0] for person, numbers in rows_of.items()}


def _remaining(pool: People, panel: frozenset[str], settings: Settings) -> list[str]:
    """Those who can still replace somebody, as the library's `selected_remaining_tables` has them."""
    columns = settings.normalised_address_columns
    taken = {pool.get_address(person, columns) for person in panel} if columns else set()
    return [p for p in pool if p not in panel and not (columns and pool.get_address(p, columns) in taken)]


def _quotas(pool: People, features: Features, panel: frozenset[str]) -> list[dict[str, Any]]:
    """Each quota, with how many of the panel count for it. Raises Failure where one is not met: no algorithm but
    legacy looks at its panel again."""
    selected: dict[tuple[str, str], int] = defaultdict(int)
    for person in panel:
        for feature, value in pool.get_person_dict(person).items():
            selected[feature.lower(), value.lower()] += 1
    quotas = [
        QuotaMet(feature=f, value=v, min=q.min, max=q.max, selected=selected[f.lower(), v.lower()])
        for f, v, q in iterate_feature_collection(features)
    ]
    missed = [f"{q.feature}/{q.value}" for q in quotas if not q.min <= q.selected <= q.max]
    if missed:
        raise Failure("solver_failed", {"reason": joined(missed)})
    return [quota.model_dump() for quota in quotas]


def _columns(header: list[str], features: Features, params: SelectionParams) -> list[int]:
    """The columns of both lists, by number: all, or the id, those to keep, those of the address and the features."""
    if params.columns_to_keep is None:
        return list(range(len(header)))
    wanted = [params.id_column, *params.columns_to_keep, *params.check_same_address_columns, *features]
    lower = [name.lower() for name in header]
    return list(dict.fromkeys(lower.index(name.lower()) for name in wanted if name.lower() in lower))

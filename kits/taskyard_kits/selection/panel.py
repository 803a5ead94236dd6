"""Draws a panel with the library sortition-algorithms, from tables that have been read."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from importlib import import_module
from typing import Any

import highspy
from requests.structures import CaseInsensitiveDict
from sortition_algorithms import check_people_per_feature_value, read_in_people, run_stratification
from sortition_algorithms.committee_generation import GUROBI_AVAILABLE, find_any_committee
from sortition_algorithms.errors import InfeasibleQuotasCantRelaxError, InfeasibleQuotasError
from sortition_algorithms.features import iterate_feature_collection
from sortition_algorithms.people import People
from sortition_algorithms.settings import Settings

from .channel import Channel, Progress
from .declarations import QuotaMet, SelectionParams
from .failures import MAX_VALUE, Failure, Features, cell, joined, of_error
from .tables import Table
from .targets import features_of

MAX_REPORT = 4 * 1024**2  # characters of the whole report


def use_one_thread() -> None:
    """Has HiGHS start no threads of its own in this process: they wait by spinning, so that a draw takes twice the
    processor time, and how many there are depends on the machine. The first model that is solved decides."""
    solver: Any = highspy.Highs()  # type: ignore[no-untyped-call]
    solver.setOptionValue("output_flag", False)
    solver.setOptionValue("threads", 1)
    solver.maximize(solver.addVariable(lb=0.0, ub=1.0))


def _use_one_gurobi_thread() -> None:
    """The same for all models of Gurobi, which reads its licence here. Raises GurobiError."""
    import_module("gurobipy").setParam("Threads", 1)


def drawn(people: Table, quotas: Table, params: SelectionParams, seed: int, channel: Channel) -> dict[str, Any]:
    """What the parent needs for lists and result. People are told by their number, from 0. Raises Failure."""
    features: Features = CaseInsensitiveDict()
    try:
        features = features_of(quotas)
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
    _check_columns(people, params.check_same_address_columns)
    if params.check_same_address:
        _check_addresses(people, ids, params.check_same_address_columns)
    _check_pool(pool, features, params.number_to_select)
    if params.selection_algorithm == "legacy" and (tight := _tight(pool, features)):
        spare = Failure("legacy_without_spare_people", {"values": joined(tight)})
        raise _cause(_infeasibility(pool, features, params) or spare, pool, features, params)
    algorithm = params.selection_algorithm
    if algorithm == "leximin" and GUROBI_AVAILABLE:
        _use_one_gurobi_thread()
    elif algorithm == "leximin":
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
        error = report.last_error() or RuntimeError("the library found no panel and gave no reason")
        if params.selection_algorithm == "legacy":
            # It gives up without knowing whether there is a panel at all.
            error = _infeasibility(pool, features, params) or error
        raise _cause(error, pool, features, params)
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


def _check_columns(people: Table, columns: list[str]) -> None:
    """The library looks for the columns of the address only where it compares addresses; the lists have them always."""
    names = {name.lower() for name in people.header}
    for column in columns:
        if column.lower() not in names:
            raise Failure("missing_column", {"column": column})


def _check_addresses(people: Table, ids: dict[str, int], columns: list[str]) -> None:
    """To the library all people without an address live at one. Rows without an id are left out."""
    wanted = {column.strip().lower() for column in columns}
    places = [place for place, name in enumerate(people.header) if name.strip().lower() in wanted]
    missing = [
        cell(number + 2, people.header[places[0]], "")
        for number in ids.values()
        if not any(people.rows[number][place].strip() for place in places)
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


def _tight(pool: People, features: Features) -> list[str]:
    """The values of which all people are needed. Selecting a person, legacy takes them from those who remain before it
    adds them to the selected (`PeopleFeatures.select_person`). So the last person of a value cannot be the one who
    meets its `min`, and where all are needed each attempt fails."""
    there = _counted(pool, pool)
    return [f"{f}/{v}: {q.min}" for f, v, q in iterate_feature_collection(features) if 0 < q.min == there[_key(f, v)]]


def _infeasibility(
    pool: People, features: Features, params: SelectionParams, *, with_addresses: bool = True
) -> Exception | None:
    """What keeps every panel from meeting the targets, as the library tells it; None where one meets them."""
    columns = params.check_same_address_columns if params.check_same_address and with_addresses else []
    try:
        find_any_committee(features, pool, params.number_to_select, columns, params.solver_backend)
    except (InfeasibleQuotasError, InfeasibleQuotasCantRelaxError) as e:
        return e
    return None


def _cause(error: Exception, pool: People, features: Features, params: SelectionParams) -> Exception:
    """The addresses, where targets that cannot be relaxed could be met, or relaxed, without their rule; else `error`
    itself."""
    if isinstance(error, InfeasibleQuotasCantRelaxError) and params.check_same_address:
        without = _infeasibility(pool, features, params, with_addresses=False)
        if not isinstance(without, InfeasibleQuotasCantRelaxError):
            return Failure("infeasible_addresses")
    return error


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
    selected = _counted(pool, panel)
    quotas = [
        QuotaMet(feature=f, value=v, min=q.min, max=q.max, selected=selected[_key(f, v)])
        for f, v, q in iterate_feature_collection(features)
    ]
    missed = [f"{q.feature}/{q.value}" for q in quotas if not q.min <= q.selected <= q.max]
    if missed:
        raise Failure("solver_failed", {"reason": joined(missed)})
    return [quota.model_dump() for quota in quotas]


def _counted(pool: People, people: Iterable[str]) -> Counter[tuple[str, str]]:
    """How many of the people there are of each value."""
    return Counter(_key(*item) for person in people for item in pool.get_person_dict(person).items())


def _key(feature: str, value: str) -> tuple[str, str]:
    return feature.lower(), value.lower()


def _columns(header: list[str], features: Features, params: SelectionParams) -> list[int]:
    """The columns of both lists, by number: all, or the id, those to keep, those of the address and the features."""
    if params.columns_to_keep is None:
        return list(range(len(header)))
    wanted = [params.id_column, *params.columns_to_keep, *params.check_same_address_columns, *features]
    lower = [name.lower() for name in header]
    return list(dict.fromkeys(lower.index(name.lower()) for name in wanted if name.lower() in lower))

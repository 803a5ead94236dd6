"""The library's errors as codes and values: its own code where it has one, with the words of `library_words.py`.

Many of its errors have lines instead of a code. Those that come from tables have a code for each cell: the first one is
told, with all cells that are wrong in the same way.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sortition_algorithms import errors
from sortition_algorithms.error_messages import ERROR_MESSAGES
from sortition_algorithms.errors import ParseTableErrorMsg, ParseTableMultiError, ParseTableMultiValueErrorMsg
from sortition_algorithms.features import FeatureCollection, iterate_feature_collection

MAX_VALUE = 4_000  # characters; 500 of them stand in the sentence
MAX_LINES = 100

Features = FeatureCollection


class Failure(Exception):
    """`lines` is what the library says, in English."""

    def __init__(self, code: str, values: Mapping[str, Any] | None = None, lines: tuple[str, ...] = ()) -> None:
        super().__init__(code)
        self.code = code
        self.values = values or {}
        self.lines = lines


def of_error(error: BaseException, features: Features, *, attempts: int) -> Failure:
    """`features`: the targets, where they could be read; `attempts`: how often the legacy algorithm tried."""
    if isinstance(error, Failure):
        return error
    lines = tuple(line for line in str(error).splitlines() if line.strip())[:MAX_LINES]
    code, values = _told(error, features, attempts, " ".join(lines)[:MAX_VALUE] or "?")
    return Failure(code, values, lines)


def _told(error: BaseException, features: Features, attempts: int, reason: str) -> tuple[str, dict[str, Any]]:
    match error:
        case ParseTableMultiError(all_errors=[_, *_]):
            return _of_cells(error.all_errors)
        case errors.InfeasibleQuotasError():
            return "infeasible_quotas_header", {"changes": _changes(features, error.features)}
        case errors.InfeasibleQuotasCantRelaxError():
            return "infeasible_quotas_cant_relax", {}
        case errors.SortitionBaseError() if error.error_code in ERROR_MESSAGES:
            return error.error_code, _short(error.error_params)
        case errors.SortitionBaseError() if error.is_retryable:
            return "selection_failed", {"attempts": attempts}
        case errors.SortitionBaseError():
            return "solver_failed", {"reason": reason}
        case RuntimeError(args=(_, str(code), *_)) | TypeError(args=(_, str(code), *_)) if code in ERROR_MESSAGES:
            return code, {}
        case _:
            return "draw_failed", {"reason": f"{type(error).__name__}: {reason}"[:MAX_VALUE]}


def _of_cells(wrong: list[ParseTableErrorMsg | ParseTableMultiValueErrorMsg]) -> tuple[str, dict[str, Any]]:
    first = wrong[0]
    alike = [one for one in wrong if one.error_code == first.error_code]
    values = {**_short(first.error_params), "cells": joined(map(_cell, alike)), "count": len(wrong)}
    return first.error_code, values


def _cell(wrong: ParseTableErrorMsg | ParseTableMultiValueErrorMsg) -> str:
    if isinstance(wrong, ParseTableErrorMsg):
        return cell(wrong.row, wrong.key, wrong.value)
    return "; ".join(cell(wrong.row, key, value) for key, value in zip(wrong.keys, wrong.values, strict=True))


def cell(row: int, column: str, value: str) -> str:
    return f'{row}/{column}: "{value[:100]}"'


def joined(parts: Any) -> str:
    return ", ".join(parts)[:MAX_VALUE]


def _changes(features: Features, relaxed: Features) -> str:
    """`gender/female: min 12 → 10`, in no language."""
    changes = []
    for feature, value, new in iterate_feature_collection(relaxed):
        old = features[feature][value]
        for name, before, after in (("min", old.min, new.min), ("max", old.max, new.max)):
            if before != after:
                changes.append(f"{feature}/{value}: {name} {before} → {after}")
    return joined(changes)


def _short(params: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value[:MAX_VALUE] if isinstance(value, str) else value for name, value in params.items()}

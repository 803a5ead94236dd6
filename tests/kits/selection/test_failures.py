"""What the library refuses: with its code, values that say where, and words in four languages."""

import io
from typing import Any

import pytest
from sortition_algorithms.error_messages import ERROR_MESSAGES
from sortition_algorithms.errors import RetryableSelectionError, SelectionError, SelectionMultilineError

from taskyard.catalogue.words import render
from taskyard.domain.errors import TaskError
from taskyard_kits.selection.channel import Channel
from taskyard_kits.selection.declarations import SelectionParams
from taskyard_kits.selection.failures import Failure, of_error
from taskyard_kits.selection.library_words import LIBRARY_ERRORS
from taskyard_kits.selection.panel import drawn
from taskyard_kits.selection.tables import PEOPLE, QUOTAS, of_csv
from taskyard_kits.selection.words import RUN_SELECT_ERRORS

TARGETS = b"feature,value,min,max\ngender,female,1,3\ngender,male,1,3\n"
PERSONS = b"id,gender,street\n1,female,A\n2,female,B\n3,male,C\n4,male,C\n"
FLEX = b"feature,value,min,max,min_flex,max_flex\n"
CROSSED = b"gender,female,2,2\ngender,male,1,1\narea,north,2,2\narea,south,1,1\n"
# The same, with flex columns that allow nothing else.
RIGID = b"".join(line + b"," + line.split(b",", 2)[2] + b"\n" for line in CROSSED.splitlines())


def fail(people: bytes = PERSONS, targets: bytes = TARGETS, **given: Any) -> Failure:
    params = SelectionParams(**{"number_to_select": 3, "id_column": "id", "selection_algorithm": "legacy", **given})
    with pytest.raises(Failure) as raised:
        drawn(
            of_csv(io.BytesIO(people), len(people), PEOPLE),
            of_csv(io.BytesIO(targets), len(targets), QUOTAS),
            params,
            1,
            Channel(io.StringIO()),
        )
    return raised.value


OF_TARGETS = [
    (b"value,min,max\na,1,2\n", "missing_required_column", {"field_name": "feature"}),
    (b"category,value,min,max\na,b,1,2\n", "missing_required_column", {"field_name": "name"}),
    (b"feature,value,min,max,max\na,b,1,2,3\n", "duplicate_required_column", {"field_name": "max", "count": 2}),
    (b"feature,value,min,max,min_flex\na,b,1,2,0\n", "unexpected_column_error", {}),
    (b"feature,value,min,max\na,b,,2\nc,d,1,\n", "no_value_set", {"cells": '2/min: "", 3/max: ""', "count": 2}),
    (b"feature,value,min,max\na,b,x,2\n", "not_a_number", {"cells": '2/min: "x"'}),
    (b"feature,value,min,max\na,,1,2\n", "empty_feature_value", {"cells": '2/value: ""'}),
    (b"feature,value,min,max\na,b,3,2\n", "min_greater_than_max", {"cells": '2/min: "3"; 2/max: "2"'}),
    (FLEX + b"a,b,1,2,2,3\n", "min_flex_greater_than_min", {"cells": '2/min: "1"; 2/min_flex: "2"'}),
    (FLEX + b"a,b,1,2,0,1\n", "max_flex_less_than_max", {"cells": '2/max: "2"; 2/max_flex: "1"'}),
    (b"feature,value,min,max\na,b,-1,2\n", "quota_out_of_range", {"cells": '2/min: "-1"', "limit": 1_000_000_000}),
    (b"feature,value,min,max\na,b,1,10000000000\n", "quota_out_of_range", {}),
    (b"feature,value,min,max\na,b,1_0,2_0\n", "not_a_number", {"cells": '2/min: "1_0", 2/max: "2_0"', "count": 2}),
    ("feature,value,min,max\na,b,\u0661,2\n".encode(), "not_a_number", {"cells": '2/min: "\u0661"'}),
    (b"feature,value,min,max\na,b,1,2\n,c,1,2\n", "quota_without_feature", {"cells": '3/feature: ""'}),
    (b"feature,value,min,max\na,b,1,2\na,c,1,2\nA, B ,0,3\n", "quota_repeated", {"cells": '4/value: " B "'}),
    (
        b"feature,value,min,max\na,b,1,1\nc,d,2,2\n",
        "inconsistent_min_max_header",
        {"min_feature": "c", "min_val": 2, "max_feature": "a", "max_val": 1},
    ),
    (
        b"feature,value,min,max\na,b,1,2\nc,d,0,1\nc,e,0,4\n",
        "desired_out_of_range",
        {"desired": 3, "ranges": "a 1 \u2026 2"},
    ),
]


@pytest.mark.parametrize(("targets", "code", "values"), OF_TARGETS)
def test_each_defect_of_the_targets_has_its_code_and_says_where_it_is(
    targets: bytes, code: str, values: dict[str, Any]
) -> None:
    failure = fail(targets=targets)
    assert failure.code == code
    assert {name: failure.values[name] for name in values} == values
    check_words(failure)


OF_PEOPLE = [
    (b"no,gender\n1,male\n", {}, "missing_column", {"column": "id"}),
    (b"id,sex\n1,male\n", {}, "missing_column", {"column": "gender"}),
    (PERSONS, {"columns_to_keep": ["phone"]}, "missing_column", {"column": "phone"}),
    (PERSONS, {"check_same_address_columns": ["stret"]}, "missing_column", {"column": "stret"}),
    (PERSONS, {"check_same_address": True}, "check_same_address_empty", {}),
    (
        PERSONS.replace(b",C", b", "),
        {"check_same_address": True, "check_same_address_columns": ["street"]},
        "address_missing",
        {"cells": '4/street: "", 5/street: ""', "count": 2},
    ),
    (b"id,gender,gender\n1,male,male\n", {}, "duplicate_column", {"column": "gender"}),
    (
        b"id,gender\n1,male\n2,x\n3,y\n",
        {},
        "value_not_in_feature",
        {"cells": '3/gender: "x", 4/gender: "y"', "count": 2},
    ),
    (b"id,gender\n1,\n2,x\n", {}, "empty_value_in_feature", {"cells": '2/gender: ""', "count": 2}),
    (
        b"id,gender\n1,male\n2,male\n1,female\n 2 ,male\n",
        {},
        "duplicate_id_header",
        {"count": 1, "ids": "1: 2, 4"},
    ),
    (b"id,gender\n1,male\n2,female\n", {}, "too_few_people", {"people": 2, "wanted": 3}),
    (b"id,gender\n1,male\n2,male\n3,male\n", {}, "not_enough_people", {"shortages": "gender/female: 0 < 1"}),
    (
        b"id,gender\n1,female\n2,male\n3,male\n4,male\n",
        {},
        "legacy_without_spare_people",
        {"values": "gender/female: 1"},
    ),
]


@pytest.mark.parametrize(("people", "given", "code", "values"), OF_PEOPLE)
def test_each_defect_of_the_people_has_its_code_and_says_where_it_is(
    people: bytes, given: dict[str, Any], code: str, values: dict[str, Any]
) -> None:
    failure = fail(people, **given)
    assert failure.code == code
    assert {name: failure.values[name] for name in values} == values
    check_words(failure)


def test_all_lines_of_the_library_are_kept() -> None:
    failure = fail(b"id,gender\n1,\n2,x\n3,male\n")
    assert len(failure.lines) == failure.values["count"] == 2
    assert "'x'" in failure.lines[1]


# Legacy with as many people as a min, and with one more of each value.
ALGORITHMS = pytest.mark.parametrize(
    ("algorithm", "spare"), [("maximin", b""), ("legacy", b""), ("legacy", b"5,female,south,E\n6,male,north,F\n")]
)
APART = b"id,gender,area,street\n1,female,south,A\n2,female,south,B\n3,male,north,C\n4,male,north,D\n"


@ALGORITHMS
def test_targets_that_cannot_be_met_come_with_the_relaxation_that_the_library_proposes(
    algorithm: str, spare: bytes
) -> None:
    failure = fail(APART + spare, b"feature,value,min,max\n" + CROSSED, selection_algorithm=algorithm)
    assert failure.code == "infeasible_quotas_header"
    assert set(failure.values["changes"].split(", ")) <= {
        f"{feature}: {bound}"
        for feature in ("gender/female", "gender/male", "area/north", "area/south")
        for bound in ("min 2 \u2192 1", "max 1 \u2192 2", "min 1 \u2192 0", "max 2 \u2192 3", "min 2 \u2192 0")
    }
    assert len(failure.lines) > 1
    check_words(failure)


@ALGORITHMS
def test_a_relaxation_that_the_flex_columns_forbid_is_said(algorithm: str, spare: bytes) -> None:
    failure = fail(APART + spare, FLEX + RIGID, selection_algorithm=algorithm)
    assert failure.code == "infeasible_quotas_cant_relax"
    check_words(failure)


@pytest.mark.parametrize("algorithm", ["maximin", "legacy"])
@pytest.mark.parametrize("flex", [b"", FLEX], ids=["without flex columns", "with flex columns"])
def test_addresses_are_blamed_where_nothing_else_keeps_the_targets_from_being_met(flex: bytes, algorithm: str) -> None:
    people = PERSONS.replace(b",B", b",A")  # two addresses for three people
    targets = flex and flex + b"gender,female,1,3,1,3\ngender,male,1,3,1,3\n"
    rule: dict[str, Any] = {"check_same_address": True, "check_same_address_columns": ["street"]}
    failure = fail(people, targets or TARGETS, selection_algorithm=algorithm, **rule)
    assert failure.code == "infeasible_addresses"
    check_words(failure)


@ALGORITHMS
def test_addresses_are_not_blamed_where_the_targets_are_the_cause(algorithm: str, spare: bytes) -> None:
    rule: dict[str, Any] = {"check_same_address": True, "check_same_address_columns": ["street"]}
    failure = fail(APART + spare, FLEX + RIGID, selection_algorithm=algorithm, **rule)
    assert failure.code == "infeasible_quotas_cant_relax"


def test_addresses_are_blamed_where_legacy_has_no_spare_people_either() -> None:
    people = PERSONS.replace(b"2,female,B", b"2,female,A")
    rule: dict[str, Any] = {"check_same_address": True, "check_same_address_columns": ["street"]}
    failure = fail(people, b"feature,value,min,max\ngender,female,2,2\ngender,male,1,1\n", **rule)
    assert failure.code == "infeasible_addresses"


def test_rows_that_are_left_out_need_no_address() -> None:
    rule: dict[str, Any] = {"check_same_address": True, "check_same_address_columns": ["street"]}
    left_out = b" ,female,\n , ,\n5,female,\n"
    failure = fail(PERSONS.replace(b"4,male,C\n", b"4,male,D\n") + left_out, **rule)
    assert (failure.code, failure.values["cells"]) == ("address_missing", '8/street: ""')


def test_legacy_that_finds_no_panel_where_there_is_one_says_so_without_a_word_of_the_library() -> None:
    """Each man that it selects first takes one of the two women with him, and it cannot select the last one."""
    people = b"id,gender,street\n1,male,A\n2,male,B\n3,female,A\n4,female,B\n"
    targets = b"feature,value,min,max\ngender,male,1,1\ngender,female,1,1\n"
    rule: dict[str, Any] = {"check_same_address": True, "check_same_address_columns": ["street"]}
    failure = fail(people, targets, number_to_select=2, max_attempts=3, **rule)
    assert (failure.code, failure.values) == ("selection_failed", {"attempts": 3})
    assert failure.lines, "they stand in the log"
    check_words(failure)


ODD_ERRORS = [
    (SelectionError("no committee, status 4"), "solver_failed"),
    (SelectionMultilineError(["a", "b"]), "solver_failed"),
    (RetryableSelectionError("unlucky"), "selection_failed"),
    (RuntimeError("not there", "diversimax_not_available", {}), "diversimax_not_available"),
    (TypeError("a LIST", "columns_to_keep_not_list", {}), "columns_to_keep_not_list"),
    (ValueError("x" * 10_000), "draw_failed"),
    (AssertionError(), "draw_failed"),
]


@pytest.mark.parametrize(("error", "code"), ODD_ERRORS, ids=[f"{type(e).__name__}-{c}" for e, c in ODD_ERRORS])
def test_every_other_error_of_the_library_has_a_code(error: Exception, code: str) -> None:
    failure = of_error(error, {}, attempts=1)
    assert failure.code == code
    check_words(failure)


def test_every_code_of_the_library_has_words() -> None:
    assert set(LIBRARY_ERRORS) == set(ERROR_MESSAGES)


def test_every_code_has_words_in_four_languages() -> None:
    assert [code for code, words in RUN_SELECT_ERRORS.items() if set(words) != {"en", "de", "fr", "hu"}] == []


def check_words(failure: Failure) -> None:
    """The words of the code can be said with these values, in every language."""
    values = {name: str(value) for name, value in failure.values.items()}
    for words in RUN_SELECT_ERRORS[failure.code].values():
        assert render(words, values)
    assert TaskError(failure.code, **failure.values, lines="\n".join(failure.lines))

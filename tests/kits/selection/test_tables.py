"""Tables: what CSV files may hold, and what each defect is called."""

import io

import pytest

from taskyard import InputUnusable
from taskyard_kits.selection import tables
from taskyard_kits.selection.tables import PEOPLE, QUOTAS, Bounds, Table

SMALL = Bounds("people", max_bytes=3_000_000, max_rows=3, max_columns=3, max_cell=10)


def read(content: bytes, bounds: Bounds = SMALL) -> Table:
    return tables.of_csv(io.BytesIO(content), len(content), bounds)


DEFECTS = [
    (b"", "table_empty", {}),
    (b"id,name\n", "table_empty", {}),
    (b"id,name\n,\n", "table_empty", {}),
    ("id\nx\n".encode("utf-16"), "table_wrong_encoding", {"encoding": "UTF-16"}),
    ("id\nx\n".encode("utf-32"), "table_wrong_encoding", {"encoding": "UTF-32"}),
    (b"\xfe\xff\0i\0d", "table_wrong_encoding", {"encoding": "UTF-16"}),
    ("id\nx\n".encode("utf-16-le"), "table_has_nul", {"row": 1}),
    (b"id\na\nb\0\n", "table_has_nul", {"row": 3}),
    ("id\na\nJos\u00e9\n".encode("latin-1"), "table_not_utf8", {"row": 3}),
    (b"id,name\na\n", "table_ragged", {"row": 2, "cells": 1, "columns": 2}),
    (b"id,name\na,b\na,b,c\n", "table_ragged", {"row": 3, "cells": 3, "columns": 2}),
    (b'id,name\na,"b\n', "table_malformed", {"row": 2}),
    (b'id,name\na,"b"c\n', "table_malformed", {"row": 2}),
    (b"id;name\na;b\n", "table_wrong_separator", {"separator": ";"}),
    (b"id\tname\na\tb\n", "table_wrong_separator", {"separator": "TAB"}),
    (b"id|name\na|b\n", "table_wrong_separator", {"separator": "|"}),
    (b"\nid,name\na,b\n", "table_without_header", {}),
    (b" ,\nid,name\n", "table_without_header", {}),
    (b"\n\n", "table_empty", {}),
    (b"a,b,c,d\n1,2,3,4\n", "table_too_many_columns", {"limit": 3}),
    (b"id\n1\n2\n3\n4\n", "table_too_many_rows", {"limit": 3}),
    (b"id\n1\n\n\n4\n", "table_too_many_rows", {"limit": 3}),
    (b"id\n1\n" + b"\n" * 2**21, "table_too_many_rows", {"limit": 3}),
    (b"id,name\n1,a\n,\n,,\n", "table_ragged", {"row": 4, "cells": 3, "columns": 2}),
    (b"id\n1\n12345678901\n", "table_cell_too_long", {"row": 3, "limit": 10}),
    (b"id,12345678901\n1,2\n", "table_cell_too_long", {"row": 1, "limit": 10}),
    (b"id\n" + b"x" * 200_000, "table_cell_too_long", {"row": 2, "limit": 10}),
]


@pytest.mark.parametrize(("content", "code", "values"), DEFECTS)
def test_each_defect_has_its_own_code_and_says_where_it_is(
    content: bytes, code: str, values: dict[str, object]
) -> None:
    with pytest.raises(InputUnusable) as raised:
        read(content)
    assert (raised.value.code, raised.value.values) == (code, {"table": {"phrase": "people"}, **values})


class Unread(io.BytesIO):
    def read(self, size: int | None = -1) -> bytes:
        raise AssertionError(f"read {size}")


@pytest.mark.parametrize("bounds", [PEOPLE, QUOTAS], ids=lambda bounds: bounds.name)
def test_a_file_that_is_too_large_is_refused_before_it_is_read(bounds: Bounds) -> None:
    with pytest.raises(InputUnusable) as raised:
        tables.of_csv(Unread(), bounds.max_bytes + 1, bounds)
    assert raised.value.code == "table_too_large"


def test_a_file_that_is_larger_than_its_record_is_not_read_on() -> None:
    with pytest.raises(InputUnusable) as raised:
        tables.of_csv(io.BytesIO(b"x" * 4_000_000), 10, SMALL)
    assert raised.value.code == "table_too_large"


def test_a_byte_order_mark_quotes_and_blank_lines_are_csv() -> None:
    found = read(b'\xef\xbb\xbf id ,name\r\n1,"a, ""b"""\r\n\r\n2,\xc3\xa9\r\n')
    assert found == Table(["id", "name"], [["1", 'a, "b"'], ["", ""], ["2", "\u00e9"]])


@pytest.mark.parametrize("end", [b"\n" * 1000, b" ,\t\n" * 1000], ids=["blank", "separators"])
def test_blank_rows_at_the_end_do_not_count(end: bytes) -> None:
    assert read(b"id,name\n1,a\n,\n2,b\n" + end).rows == [["1", "a"], ["", ""], ["2", "b"]]


def test_whole_numbers_of_the_parameters_are_written_without_a_fraction() -> None:
    rows: list[dict[str, str | float | None]] = [{"a": 1.0, "b": -3.0, "c": "1.0"}, {"a": 1.5, "b": 1e300, "c": 7}]
    assert tables.of_objects(rows, SMALL).rows == [["1", "-3", "1.0"], ["1.5", "1e+300", "7"]]


def test_rows_of_the_parameters_may_leave_cells_out() -> None:
    rows: list[dict[str, str | float | None]] = [{"id": 1, "age": None}, {"id": "b", "share": 0.5}]
    assert tables.of_objects(rows, SMALL) == Table(["id", "age", "share"], [["1", "", ""], ["b", "", "0.5"]])

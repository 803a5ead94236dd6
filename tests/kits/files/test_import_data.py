"""Files become records: each row once, bad rows named, and hostile files refused."""

from __future__ import annotations

from datetime import date
from itertools import count
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import Engine

from taskyard import TaskContext
from taskyard.domain.ids import new_id
from taskyard.domain.tasks import Released
from taskyard.store import ledger, record_imports, records
from taskyard_kits import record_values
from taskyard_kits.files.importing import chunks, rows
from taskyard_kits.files.importing import workbook as files_workbook
from taskyard_kits.files.importing.words import IMPORT_PHRASES
from taskyard_kits.record_values import MAX_RECORD_BYTES
from tests.kits.conftest import Run, Upload
from tests.kits.files.workbooks import rewritten, sheet_of, with_entities, with_shared_strings, workbook

PEOPLE = 'id,name,age\n1,Ánna,31\n2,"Őze, Zsófia\nda capo",\n3,Örs,40\n'


@pytest.fixture
def stored(engine: Engine) -> Any:
    def read(collection: str = "people", owner: str | None = None) -> dict[str, Any]:
        return ledger.run(engine, lambda conn: records.page(conn, collection, owner=owner))

    return read


@pytest.fixture
def imported(run: Run, upload: Upload) -> Any:
    """Imports bytes as a file of this name, keyed by `id` unless that is said otherwise."""

    def run_import(content: bytes | str, name: str = "people.csv", *, item: Any = None, **params: Any) -> Any:
        content = content.encode() if isinstance(content, str) else content
        item = item or upload(content, name)
        options = {name: params.pop(name) for name in ("task_id", "submitted_by", "allowed_queues") if name in params}
        wanted = {"item_id": item.id, "collection": "people", "key_column": "id", **params}
        return run("files.import_data", {k: v for k, v in wanted.items() if v is not None}, **options)

    return run_import


def test_rows_of_csv_become_records_with_the_types_of_their_columns(imported: Any, stored: Any) -> None:
    done = imported(PEOPLE, columns={"age": "integer"})
    assert done.result == {
        "collection": "people",
        "rows": 3,
        "inserted": 3,
        "updated": 0,
        "unchanged": 0,
        "invalid": 0,
        "invalid_rows": [],
    }
    assert stored() == {
        "1": {"id": "1", "name": "Ánna", "age": 31},
        "2": {"id": "2", "name": "Őze, Zsófia\nda capo", "age": None},
        "3": {"id": "3", "name": "Örs", "age": 40},
    }
    assert done.progress[-1][0] == done.progress[-1][1] == len(PEOPLE.encode())


def test_the_same_rows_again_change_nothing_and_others_replace_records_by_their_keys(
    imported: Any, stored: Any
) -> None:
    imported(PEOPLE)
    again = imported(PEOPLE).result
    assert (again["inserted"], again["updated"], again["unchanged"]) == (0, 0, 3)
    changed = imported("id,name,age\n3,Örs,41\n4,Ida,1\n4,Ida,2\n4,Ida,2\n").result
    assert {k: changed[k] for k in ("rows", "inserted", "updated", "unchanged")} == {
        "rows": 4,
        "inserted": 1,
        "updated": 2,
        "unchanged": 1,
    }
    assert stored()["4"]["age"] == "2"


def test_without_a_key_column_a_file_imported_twice_gives_each_row_once(
    imported: Any, stored: Any, upload: Upload
) -> None:
    item = upload(b"a;b\n1;2\n1;2\n", "x.csv")
    for _ in range(2):
        imported(b"", item=item, key_column=None, delimiter=";")
    assert stored() == {f"{item.id}:{line:010}": {"a": "1", "b": "2"} for line in (2, 3)}


def test_values_of_json_lines_stay_what_they_are(imported: Any, stored: Any) -> None:
    lines = [
        '{"id": "a", "n": 9007199254740993, "x": [1.5, null, {"ő": true}]}',
        "",
        '{"id": 7}',
        '{"id": "nan", "n": NaN}',
        '{"id": "big", "n": 9223372036854775808}',
        '{"id": "nul", "n": "\\u0000"}',
        '{"id": "backslash", "n": "\\\\u0000"}',
        '{"id": "half", "n": "\\ud800"}',
        "[1]",
        "{",
        '{"n": 1}',
        '{"id": true}',
        '{"id": "deep", "n": ' + "[" * 100_000 + "}",
        '{"id": "less deep", "n": ' + "[" * 253 + "]" * 253 + "}",
    ]
    found = imported("\n".join(lines), "people.jsonl", max_invalid_rows=20).result
    assert [(bad["row"], bad["reason"]) for bad in found["invalid_rows"]] == [
        (4, "number"),
        (5, "number"),
        (6, "text"),
        (8, "text"),
        (9, "not_an_object"),
        (10, "json"),
        (11, "key_missing"),
        (12, "key_unusable"),
        (13, "json"),
        (14, "depth"),
    ]
    assert stored() == {
        "a": {"id": "a", "n": 9007199254740993, "x": [1.5, None, {"ő": True}]},
        "7": {"id": 7},
        "backslash": {"id": "backslash", "n": "\\u0000"},
    }


def test_cells_of_excel_keep_their_types(imported: Any, stored: Any) -> None:
    content = workbook(
        ["id", "name", "born", "ok", "x", None],
        [1, "Ágnes", date(2001, 2, 3), True, 1.5],
        [None] * 5,
        [2, None, date(2001, 2, 3), False, "#N/A"],
        [3, "Örs", date(2001, 2, 3)],
        [4, "a", None, None, None, None, "beyond"],
        sheets=["Other", "People"],
    )
    found = imported(content, "people.xlsx", sheet="People", columns={"born": "date"}).result
    assert [(bad["row"], bad["reason"], bad["column"]) for bad in found["invalid_rows"]] == [
        (4, "cell_error", None),
        (6, "columns", None),
    ]
    assert stored() == {
        "1": {"id": 1, "name": "Ágnes", "born": "2001-02-03", "ok": True, "x": 1.5},
        "3": {"id": 3, "name": "Örs", "born": "2001-02-03", "ok": None, "x": None},
    }


def test_tabs_are_what_a_name_says_and_another_delimiter_is_advised(imported: Any, stored: Any) -> None:
    assert imported("id\tx\n1\ta,b\n", "people.tsv").result["inserted"] == 1
    assert imported("id,x\n2,c\n", "people.TSV", delimiter=",").result["inserted"] == 1
    assert stored() == {"1": {"id": "1", "x": "a,b"}, "2": {"id": "2", "x": "c"}}
    done = imported("id;x\n1;a\n", columns={"x": "text"})
    assert (done.fault.code, done.will_retry) == ("import_delimiter", False)
    assert done.fault.message.startswith("The first row has one name only, with ; in it. Set `delimiter`")
    assert imported("id\tx\n1\ta\n").fault.message.startswith("The first row has one name only, with \\t in it.")
    assert imported("id\n3\n").result["inserted"] == 1


@pytest.mark.parametrize("name", ["people.csv", "people.xlsx"])
def test_a_table_without_a_column_that_is_named_is_refused_before_its_first_row(
    imported: Any, stored: Any, name: str
) -> None:
    content = PEOPLE if name.endswith("csv") else workbook(["id", "name", "age"], [1, "Á", 2])
    for params in ({"key_column": "ID"}, {"columns": {"agee": "integer"}}, {"key_column": "id", "header": False}):
        done = imported(content, name, **params)
        assert (done.fault.code, done.will_retry) == ("import_no_column", False)
    done = imported(content, name, columns={"agee": "integer"})
    assert done.fault.message.startswith("The file has no column agee. Its columns: id, name, age.")
    assert stored() == {}


@pytest.mark.parametrize(
    ("content", "name"),
    [(b"", "a.csv"), (b"\n\n", "a.csv"), (workbook(), "a.xlsx")],
    ids=["empty", "blank lines", "empty sheet"],
)
def test_an_empty_file_has_no_header(imported: Any, content: bytes, name: str) -> None:
    assert imported(content, name).fault.code == "import_header"
    assert imported(content, name, header=False).result["rows"] == 0
    assert imported(b"", "a.jsonl").result["rows"] == 0


def test_files_in_other_encodings_are_refused_before_anything_is_written(imported: Any, stored: Any) -> None:
    assert imported(b"\xef\xbb\xbf" + PEOPLE.encode()).result["inserted"] == 3
    assert imported(b"\xef\xbb\xbf" * 2 + PEOPLE.encode()).result["unchanged"] == 3
    for content, told in (
        (PEOPLE.encode("utf-16"), "The file is in UTF-16."),
        (PEOPLE.encode("utf-32"), "The file is in UTF-32."),
        ("id,name\n" + "7,a\n" * 2000 + "8,Ő\n", "The file is not in UTF-8: see line 2002."),
        (PEOPLE.encode() + b"9,\xc5", "The file is not in UTF-8: see line 6."),
    ):
        body = content.encode("iso-8859-2") if isinstance(content, str) else content
        fault = imported(body, collection="others").fault
        assert fault.message.startswith(told)
    assert stored("others") == {}


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        (
            "integer",
            {"7": 7, " -7 ": -7, "": None, "9223372036854775807": 2**63 - 1},
            ["7.5", "x", "9223372036854775808"],
        ),
        ("number", {"7": 7, "7.50": 7.5, ".5e3": 500.0, "": None}, ["1,5", "nan", "1e999", "0x1", "1" * 30]),
        ("boolean", {"true": True, "No": False, "1": True, "": None}, ["ja", "2"]),
        ("date", {"2026-11-29": "2026-11-29", "": None}, ["29.11.2026", "2026-02-30", "2026-11-29T12:00:00"]),
        ("datetime", {"2026-11-29T12:00:00Z": "2026-11-29T12:00:00+00:00", "": None}, ["noon"]),
        ("text", {"007": "007", "": ""}, []),
    ],
)
def test_a_cell_that_is_not_of_its_columns_type_makes_its_row_invalid(
    imported: Any, stored: Any, kind: str, good: dict[str, Any], bad: list[str]
) -> None:
    cells = [*good, *bad]
    lines = [f'{n},"{cell}"' for n, cell in enumerate(cells)]
    found = imported("id,x\n" + "\n".join(lines), columns={"x": kind}).result
    assert [(one["row"], one["column"]) for one in found["invalid_rows"]] == [(2 + cells.index(c), "x") for c in bad]
    assert [record["x"] for record in stored().values()] == list(good.values())


def test_too_many_invalid_rows_end_the_import_with_the_first_ten_of_them(imported: Any, stored: Any) -> None:
    content = "id,x\n1,a\n" + "2,a,b\n" * 30 + "3,c\n"
    done = imported(content, max_invalid_rows=29)
    assert (done.fault.code, done.will_retry) == ("import_invalid_rows", False)
    assert done.fault.message == (
        "Invalid rows: 30, the first ones on lines 3, 4, 5, 6, 7, 8, 9, 10, 11, 12: it has more or fewer cells"
        " than there are columns. Mend them and import the file again; the rows before them are imported."
    )
    kept = imported(content, collection="others", max_invalid_rows=30).result
    assert (kept["rows"], kept["invalid"], len(kept["invalid_rows"])) == (32, 30, 10)
    assert list(stored("others")) == ["1", "3"]


@pytest.mark.parametrize("behind", [1, 50, 2_990])
def test_a_quote_that_is_not_closed_takes_no_rows_with_it_unseen(imported: Any, stored: Any, behind: int) -> None:
    rows = [f"{n},a\n" for n in range(1, 10 + behind)]
    done = imported("id,x\n" + "".join([*rows[:8], '9,"a\n', *rows[9:]]), max_invalid_rows=5_000)
    assert (done.fault.code, done.will_retry) == ("import_open_quote", False)
    assert done.fault.message.startswith("A quote in the row that begins on line 10 is not closed")


def test_lines_that_a_wrong_quote_takes_into_its_row_are_counted(imported: Any, stored: Any) -> None:
    content = 'id,x\n1,"a\n2,b\n3,"c"\n4,"d\n5,e"\n6,"f\n7",g\n8,h\n'
    found = imported(content).result
    assert [(bad["row"], bad["reason"]) for bad in found["invalid_rows"]] == [
        *((line, "quotes") for line in (2, 3, 4)),
        *((line, "columns") for line in (7, 8)),
    ]
    assert (found["rows"], found["invalid"], found["inserted"]) == (7, 5, 2)
    assert stored() == {"4": {"id": "4", "x": "d\n5,e"}, "8": {"id": "8", "x": "h"}}
    lines = "\n".join(["a"] * 256)
    assert imported(f'id,x\n1,"{lines}"\n').result["inserted"] == 1
    assert imported(f'id,x\n2,"a\n{lines}"\n').fault.code == "import_open_quote"


@pytest.mark.parametrize(
    ("content", "code"),
    [
        ('id,x\n1,"' + "a\n" * MAX_RECORD_BYTES, "import_open_quote"),
        ("id,x\n1," + '"\n",' * MAX_RECORD_BYTES, "import_open_quote"),
        ('id,"x\n', "import_open_quote"),
        ("id," + "x" * 2 * MAX_RECORD_BYTES, "import_row_too_long"),
        ("id,x,x\n1,2,3\n", "import_header"),
        ("id,,x\n1,2,3\n", "import_header"),
        ('id,"x"y\n1,2\n', "import_header"),
        (",".join(map(str, range(1001))) + "\n", "import_columns"),
    ],
    ids=["open quote", "many quotes", "open in header", "long line", "twice", "unnamed", "quotes in it", "columns"],
)
def test_a_file_that_is_no_table_is_refused(imported: Any, stored: Any, content: str, code: str) -> None:
    done = imported(content)
    assert (done.fault.code, done.will_retry) == (code, False)
    assert stored() == {}


BOOK = workbook(["id", "x"], ["1", "a"])
SHARED = with_shared_strings(BOOK, ["id", "Ő", "1", "ű"])
SHEET = "xl/worksheets/sheet1.xml"
BILLION = '<row r="1"><c r="A1" t="inlineStr"><is><t>id</t></is></c></row>'


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"no zip", "import_damaged"),
        (BOOK[: len(BOOK) // 2], "import_damaged"),
        (with_entities(BOOK, SHEET), "import_entities"),
        (with_entities(BOOK, "xl/workbook.xml"), "import_entities"),
        (with_entities(BOOK, "xl/styles.xml"), "import_entities"),
        (with_entities(SHARED, "xl/sharedStrings.xml"), "import_entities"),
        (rewritten(SHARED, "xl/sharedStrings.xml", lambda _: b" " * (65 << 20)), "import_too_large"),
        (rewritten(BOOK, "xl/styles.xml", lambda _: b" " * (9 << 20)), "import_too_large"),
        (rewritten(BOOK, "xl/theme/theme1.xml", lambda _: b" " * (9 << 20)), "import_too_large"),
        (rewritten(BOOK, SHEET, lambda data: data.replace(b"<sheetData>", b"<x/>" * 500_000 + b"<sheetData>")),
         "import_too_large"),
        (sheet_of(BILLION + '<row r="99999999999"><c t="str"><v>a</v></c></row>'), "import_too_large"),
    ],
    ids=["no zip", "cut off", "entities in a sheet", "in the book", "in styles",
         "in strings", "strings", "styles", "theme", "elements", "rows"],
)  # fmt: skip
def test_a_hostile_workbook_is_refused(
    imported: Any, stored: Any, monkeypatch: pytest.MonkeyPatch, content: bytes, code: str
) -> None:
    monkeypatch.setattr(files_workbook, "_PROCESS_BYTES", 64 << 20)
    done = imported(content, "people.xlsx")
    assert (done.fault.code, done.will_retry) == (code, False)
    assert stored() == {}


def test_strings_are_shared_as_excel_writes_them(imported: Any, stored: Any) -> None:
    assert imported(SHARED, "people.xlsx").result["inserted"] == 1
    assert stored() == {"1": {"id": "1", "Ő": "ű"}}


def test_a_sheet_that_does_not_exist_and_a_name_that_says_nothing_are_told(imported: Any) -> None:
    assert imported(BOOK, "people.xlsx", sheet="Other").fault.code == "import_no_sheet"
    assert imported(BOOK, "people").fault.code == "import_format"
    assert imported(BOOK, "people", format="xlsx").result["inserted"] == 1


def test_another_attempt_goes_on_behind_the_chunks_that_are_written(
    imported: Any, stored: Any, upload: Upload, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chunks, "CHUNK_ROWS", 2)
    item, task_id = upload(b"id,x\n1,a\n2,a\nbad\n4,a\n5,a\n", "people.csv"), new_id()
    upsert = records.upsert
    written: list[list[str]] = []

    def dying(conn: Any, collection: str, rows: dict[str, Any], **more: Any) -> Any:
        if len(written) == 2:
            raise ConnectionError
        written.append(list(rows))
        return upsert(conn, collection, rows, **more)

    with monkeypatch.context() as patch:
        patch.setattr(records, "upsert", dying)
        assert imported(b"", item=item, task_id=task_id).will_retry
    assert list(stored()) == ["1", "2", "4"]
    done = imported(b"", item=item, task_id=task_id).result
    assert (done["rows"], done["inserted"], done["unchanged"]) == (5, 4, 0)
    assert [bad["row"] for bad in done["invalid_rows"]] == [4]
    assert imported(b"", item=item, task_id=task_id).result == done


def test_an_import_is_given_back_at_no_cost_where_its_time_is_nearly_over(
    imported: Any, stored: Any, upload: Upload, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chunks, "CHUNK_ROWS", 1)
    item, task_id = upload(PEOPLE.encode(), "people.csv"), new_id()
    # Each look at the clock takes three seconds, and so does a row: another one would not fit.
    clock = count(0, 3)
    with monkeypatch.context() as patch:
        patch.setattr(TaskContext, "seconds_left", 5.0)
        patch.setattr(chunks, "time", SimpleNamespace(monotonic=lambda: next(clock)))
        for done in (1, 2):
            assert isinstance(imported(b"", item=item, task_id=task_id).outcome, Released)
            assert len(stored()) == done
        late = imported(b"", item=item, task_id=task_id)
        assert (late.fault.code, late.will_retry) == ("import_too_long", False), "it can't get on"
    assert imported(b"", item=item, task_id=task_id).result["rows"] == 3


def test_a_chunk_that_another_attempt_writes_meanwhile_is_left_to_it(
    imported: Any, stored: Any, upload: Upload, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    item, task_id = upload(PEOPLE.encode(), "people.csv"), new_id()
    write = chunks.Import._write

    def write_after_another(self: Any, chunk: Any) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(chunks.Import, "_write", write)
            done.append(imported(b"", item=item, task_id=task_id))
        write(self, chunk)

    done: list[Any] = []
    monkeypatch.setattr(chunks.Import, "_write", write_after_another)
    late = imported(b"", item=item, task_id=task_id)
    assert done[0].result["inserted"] == 3
    assert "another attempt" in late.fault.message
    assert ledger.run(engine, lambda conn: record_imports.locked(conn, task_id)).counts["unchanged"] == 0


def test_a_restricted_key_imports_its_own_files_into_its_own_records(
    imported: Any, stored: Any, upload: Upload
) -> None:
    mine = upload(PEOPLE.encode(), "people.csv", submitted_by="mine")
    assert imported(b"", item=mine, submitted_by="mine", allowed_queues=["default"]).result["inserted"] == 3
    assert (len(stored(owner="mine")), stored()) == (3, {})
    assert imported(b"", item=mine, submitted_by="other", allowed_queues=["default"]).fault.code == "item_not_found"


def test_each_reason_of_an_invalid_row_has_words() -> None:
    assert {f"record_{reason}" for reason in (*rows.REASONS, *record_values.REASONS)} == {*IMPORT_PHRASES}

"""Documents become PDF: what the pages show, that nothing is fetched, and that hostile documents are refused."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from taskyard.domain.ids import new_id
from taskyard.storage.local import LocalStorage
from taskyard.store import ledger, tree_items
from taskyard_kits.files.documents import conversion, reading
from taskyard_kits.files.memory import MIB
from tests.kits.conftest import Run, Upload
from tests.kits.files.documents import RED, Pages, data_uri, docx, drawing, picture, relation
from tests.support.receiver import receiver


@pytest.fixture
def converted(run: Run, upload: Upload) -> Any:
    def convert(content: bytes | str, name: str, **params: Any) -> Any:
        item = upload(content.encode() if isinstance(content, str) else content, name)
        return run("files.convert_document", {"item_id": item.id, **params})

    return convert


@pytest.fixture
def pages(converted: Any, engine: Engine, storage: LocalStorage) -> Any:
    """The pages of a document, and what they leave out."""

    def read(content: bytes | str, name: str, **params: Any) -> tuple[Pages, dict[str, int]]:
        result = converted(content, name, **params).result
        (item,) = ledger.run(engine, lambda conn: tree_items.get(conn, [result["item_id"]])).values()
        with storage.open(item.storage_key) as file:
            made = Pages(file.read())
        assert (item.content_type, item.object_type, item.size) == ("application/pdf", "document", result["size"])
        assert len(made) == result["pages"]
        return made, {reason: count for reason, count in result["left_out"].items() if count}

    return read


MARKDOWN = """# Árvíztűrő tükörfúrógép

Ein *schräger* und **fetter** Absatz mit `Code`, ~~Strich~~ und [Verweis](https://example.org/a?b=c). #let "$x$" @a

- eins
  1. zwei
  2. drei

> Zitat

| Név | Ár |
|:----|---:|
| Ő   | 15 |

```python
if őű < 1:
    return
```
"""


def test_markdown_has_its_headings_lists_tables_code_and_hungarian_letters(pages: Any) -> None:
    made, left_out = pages(MARKDOWN, "a.md", language="hu")
    assert made.text() == (
        "Árvíztűrő tükörfúrógép Ein schräger und fetter Absatz mit Code, Strich und Verweis. #let \"$x$\" @a"
        " • eins 1. zwei 2. drei Zitat Név Ár Ő 15 if őű < 1: return 1 / 1"
    )
    assert left_out == {}
    assert made.links() == ["https://example.org/a?b=c"]
    assert made.count_of((244, 244, 244)) > 5_000, "the background of the code"
    left, top, right, bottom = made.inked()
    assert 60 < left < 75 and top < 90 and right < 535 and 200 < bottom < 500


def test_a_letter_of_hungarian_looks_different_from_the_one_without_its_accents(pages: Any) -> None:
    images = [pages(text, "a.md")[0].image().tobytes() for text in ("ő", "o", "ö", "ű", "□", "")]
    assert len({*images}) == 6


def test_pages_are_numbered_and_the_header_of_a_table_is_on_each(pages: Any) -> None:
    rows = "".join(f"| {n} | {n * n} |\n" for n in range(120))
    made, _ = pages(f"| Zahl | Quadrat |\n|--|--|\n{rows}", "a.md")
    assert len(made) >= 3
    for page in range(len(made)):
        assert made.text(page).startswith("Zahl Quadrat")
        assert made.text(page).endswith(f"{page + 1} / {len(made)}")


def test_paper_is_what_was_asked_for(pages: Any) -> None:
    sizes = {paper: pages("a", "a.md", paper=paper)[0].image().size for paper in ("a4", "a5", "us-letter")}
    assert sizes == {"a4": (596, 842), "a5": (420, 596), "us-letter": (612, 792)}


def test_html_may_be_anything(pages: Any) -> None:
    html = (
        "\ufeff<!DOCTYPE html><html><head><title>No</title><style>p{}</style><p>Start <b>fett<p>weiter</b> &amp; &#x151;"
        "<script>alert('no')</script><ul><li>a<li>b<ol start=7><li>c</ol></ul><svg/><pre>  x\n<b>y</b></pre>"
        "<a href='javascript:alert(1)'>kein Ziel</a></td></table></div>Ende"
    )
    made, _ = pages(html, "a.html")
    assert made.text() == "Start fett weiter & ő • a • b 7. c x y kein Ziel Ende 1 / 1"
    assert made.links() == []


def test_cells_of_a_table_span_rows_and_columns(pages: Any) -> None:
    html = (
        "<table><tr><th colspan=2>ab<th>c<tr><td rowspan=99>d<td colspan=99>e<tr><td>f<td>g<td>h</table>"
        f"<table><tr>{'<td>x' * 45}</table><table><tr><td><table><tr><td>in</table>out</table>"
    )
    made, left_out = pages(html, "a.htm")
    assert " ".join(made.text().split()[:8]).startswith("ab c d e f g h")
    assert "in out" in made.text()
    assert left_out == {"columns": 5}

"""Documents become PDF: what the pages show, that nothing is fetched, and that hostile documents are refused."""

from __future__ import annotations

import io
import time
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from sqlalchemy import Engine

from taskyard.domain.ids import new_id
from taskyard.storage.local import LocalStorage
from taskyard.store import ledger, tree_items
from taskyard_kits.files.documents import conversion, reading
from taskyard_kits.files.memory import MIB, Memory
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
        'Árvíztűrő tükörfúrógép Ein schräger und fetter Absatz mit Code, Strich und Verweis. #let "$x$" @a'
        " • eins 1. zwei 2. drei Zitat Név Ár Ő 15 if őű < 1: return 1 / 1"
    )
    assert left_out == {}
    assert made.links() == ["https://example.org/a?b=c"]
    assert made.count_of((244, 244, 244)) > 5_000, "the background of the code"
    left, top, right, bottom = made.inked()
    assert 60 < left < 75
    assert top < 90
    assert right < 535
    assert 200 < bottom < 500


def lists(count: int) -> str:
    return "".join(f"{'  ' * n}- x{n}\n" for n in range(count))


def test_deep_markdown_is_shown_to_its_end_or_refused(pages: Any, converted: Any) -> None:
    for deep in (lists(49), "> " * 98 + "x48"):
        made, _ = pages(deep, "a.md")
        assert "x48" in made.text(len(made) - 1)
    for deep in (lists(50), "> " * 99 + "x", "> " * 5_000 + "x", "- " * 5_000 + "x"):
        done = converted(deep, "a.md")
        assert (done.fault.code, done.will_retry) == ("document_too_deep", False)


def test_images_of_markdown_are_shown_or_counted_and_never_printed_as_their_address(pages: Any) -> None:
    images = f"![a]({data_uri(picture('BMP'), 'bmp')}) ![b]({data_uri(b'<svg/>', 'svg+xml')}) ![c](javascript:alert)"
    made, left_out = pages(f"{images} [d](javascript:alert)", "a.md")
    assert left_out == {"images_unreadable": 1, "images_outside": 1}
    assert made.text() == "[b] [c] d 1 / 1"
    assert made.count_of(RED) > 1_200
    assert made.links() == []


def test_a_letter_of_hungarian_looks_different_from_the_one_without_its_accents(pages: Any) -> None:
    images = [pages(text, "a.md")[0].image().tobytes() for text in ("ő", "o", "□")]
    assert len({*images}) == 3


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
        "\ufeff<!DOCTYPE html><html><head><title>No</title><style>p{}</style><p>Start <b>fett<p>weiter</b> &amp;"
        " &#x151;<script>alert('no')</script><ul><li>a<li>b<ol start=7><li>c</ol></ul><svg/><pre>  x\n<b>y</b></pre>"
        "<a href='javascript:alert(1)'>kein Ziel</a></td></table></div>Ende"
    )
    made, left_out = pages(html, "a.html")
    assert made.text() == "Start fett weiter & ő • a • b 7. c x y kein Ziel Ende 1 / 1"
    assert left_out == {"elements": 1}
    assert made.links() == []


def test_terms_are_bold_and_what_follows_them_is_not(pages: Any) -> None:
    def boldness(html: str) -> int:
        return sum(value < 128 for value in pages(html, "a.html")[0].image().convert("L").tobytes())

    assert boldness("<dl><dt>term<dd>meaning</dl><p>text") == boldness("<p><b>term</b><p>meaning<p>text")
    assert boldness("<table><tr><td><dt>term</table><p>text") == boldness("<table><tr><td><b>term</b></table><p>text")


def test_lines_and_images_within_code_stay(pages: Any) -> None:
    image = f"<img src='{data_uri(picture())}'>"
    made, left_out = pages(f"<pre>one<br>two{image}three<img src='x' alt='four'></pre>", "a.html")
    assert made.lines()[:4] == ["one", "two", "three[four]", "1 / 1"]
    assert left_out == {"images_outside": 1}
    assert made.count_of(RED) > 1_200


def test_what_the_pages_cannot_show_is_counted(pages: Any) -> None:
    html = "a<svg><text>b</text><math>c</math></svg><select><option>d</select><noscript>e</noscript><style>f</style>g"
    made, left_out = pages(f"{html}<template>h", "a.html")
    assert (made.text(), left_out) == ("ag 1 / 1", {"elements": 4})


def test_grey_of_sixteen_bits_is_as_bright_as_it_is(pages: Any) -> None:
    grey = Image.frombytes("I;16", (60, 40), (0x8000).to_bytes(2, "little") * 2_400)
    content = io.BytesIO()
    grey.save(content, "PNG")
    made, _ = pages(f"<img src='{data_uri(content.getvalue())}'>", "a.html")
    assert made.count_of((128, 128, 128), about=3) > 1_000


LONG = "Wasserfahrzeug1234567890" * 3


WIDE = (
    "<pre>" + "x = " + "W" * 300 + "</pre>",
    "<h1>" + "M" * 120 + "</h1>",
    "<p>" + "<b>WM</b><i>WM</i>" * 60,
    "<blockquote><ul><li><ol><li>" + "W" * 200 + "</ol></ul></blockquote>",
    "<table><tr>" + f"<th>{LONG}" * 14 + "<tr>" + f"<td>{LONG}" * 14 + "</table>",
    "<table><tr>" + "<td>WWWWWW" * 40 + "</table>",
    *(f"<p>{joiner.join(['Wort'] * 60)}" for joiner in ("\u00a0", "\u202f", "\u2007", "\u2060", "\x1f", " \u2060")),
    *("<p>" + "! " * 200, "<p>" + "( " * 200, "<p>" + ") " * 200, "<p>" + "/ " * 200, "<p>a" + " \u00bb" * 200),
    "<pre>" + "Wort\u00a0" * 60 + "</pre><table><tr>" + "<td>Wort\u00a0Wort\u202fWort" * 14 + "</table>",
)


@pytest.mark.parametrize("paper", ["a4", "a5"])
def test_nothing_is_printed_beyond_the_text_or_over_its_neighbour(pages: Any, paper: str) -> None:
    made, _ = pages("".join(WIDE), "a.html", paper=paper)
    for page in range(len(made)):
        left, _, right, _ = made.inked(page)
        assert left >= 62
        assert right <= made.image().width - 62
        assert made.overlaps(page) == 0


def test_words_that_fit_are_whole(pages: Any) -> None:
    made, _ = pages("<p>Geschwindigkeit<table><tr><td>Geschwindigkeit<td>ist eine</table><pre>x = 1234</pre>", "a.html")
    assert made.text() == "Geschwindigkeit Geschwindigkeit ist eine x = 1234 1 / 1"


def test_cells_of_a_table_span_rows_and_columns(pages: Any) -> None:
    html = (
        "<table><tr><th colspan=2>ab<th>c<tr><td rowspan=99>d<td colspan=99>e<tr><td>f<td>g<td>h</table>"
        f"<table><tr>{'<td>x' * 45}</table><table><tr><td><table><tr><td>in</table>out</table>"
    )
    made, left_out = pages(html, "a.htm")
    assert " ".join(made.text().split()[:8]).startswith("ab c d e f g h")
    assert "in out" in made.text()
    assert left_out == {"columns": 5}


WORD = (
    '<w:p><w:pPr><w:pStyle w:val="Cmsor1"/></w:pPr><w:r><w:t>Főcím</w:t></w:r></w:p>'
    '<w:p><w:r><w:rPr><w:b/></w:rPr><w:t>Vastag</w:t></w:r><w:r><w:t xml:space="preserve"> szöveg</w:t></w:r></w:p>'
    "<w:tbl><w:tr><w:tc><w:p><w:r><w:t>egy</w:t></w:r></w:p></w:tc><w:tc><w:p><w:r><w:t>ő</w:t></w:r></w:p></w:tc></w:tr>"
    "</w:tbl><w:p>{}</w:p>"
)


def test_a_docx_has_its_headings_tables_and_images(pages: Any) -> None:
    body = WORD.format(drawing("rId1"))
    content = docx(body, members={"word/media/a.png": picture()}, relations=relation("media/a.png"))
    made, left_out = pages(content, "levél.docx")
    assert (made.text(), left_out) == ("Főcím Vastag szöveg egy ő 1 / 1", {})
    # 60 x 40 pixels of 1/96 inch, in points.
    assert 1_200 <= made.count_of(RED) <= 1_450


def test_images_in_the_document_are_shown_as_large_as_they_are_and_no_larger_than_the_page(pages: Any) -> None:
    html = f"<p>before<img src='{data_uri(picture('JPEG', quality=95), 'jpeg')}'>after"
    made, left_out = pages(html, "a.html")
    assert (made.text(), left_out) == ("before after 1 / 1", {})
    assert 1_200 <= made.count_of(RED) <= 1_450
    for size in ((4_000, 100), (100, 4_000)):
        made, left_out = pages(f"<img src='{data_uri(picture(size=size))}'>", "a.html")
        assert (len(made), left_out) == (1, {})
        _, _, right, bottom = made.inked()
        assert right <= 531
        assert bottom <= 775


def test_nothing_is_fetched(pages: Any, tmp_path: Path) -> None:
    secret = tmp_path / "secret.png"
    secret.write_bytes(picture())
    with receiver() as server:
        addresses = [f"{server.url}/a.png", secret.as_uri(), str(secret), "/1.png", "\\\\host\\a.png"]
        html = "".join(f'<img src="{address}" alt="x{n}">' for n, address in enumerate(addresses))
        html += (
            f'<link rel=stylesheet href="{server.url}"><iframe src="{server.url}"></iframe><object data="{server.url}">'
        )
        made, left_out = pages(html, "a.html")
        assert (made.text(), left_out) == ("[x0][x1][x2][x3][x4] 1 / 1", {"images_outside": 5, "elements": 2})
        markdown = f"![x]({server.url}/a.png) ![y](<{secret}>)"
        assert pages(markdown, "a.md")[1] == {"images_outside": 2}
        for target in (f"{server.url}/a.png", secret.as_uri()):
            content = docx(WORD.format(drawing("rId1", "link")), relations=relation(target, is_external=True))
            made, _ = pages(content, "a.docx")
            assert made.text() == "Főcím Vastag szöveg egy ő 1 / 1"
            assert made.count_of(RED) == 0
        assert server.got == []


def test_text_of_the_renderers_language_is_text(pages: Any) -> None:
    text = '#import "@preview/a:0.1.0" #read("/etc/passwd") $sqrt(2)$ \\#panic() <label> @label'
    made, _ = pages(f"<p>{text.replace('<', '&lt;')}</p><pre>{text.replace('<', '&lt;')}</pre>", "a.html")
    assert made.text() == f"{text} {text} 1 / 1"


def test_images_that_are_damaged_or_too_large_are_left_out_and_told(pages: Any) -> None:
    images = [
        data_uri(picture()[:60]),
        data_uri(b"<svg xmlns='http://www.w3.org/2000/svg'/>", "svg+xml"),
        data_uri(picture(size=(5_001, 5_000))),
        "data:image/png;base64,!!",
        "data:text/html,<b>",
    ]
    made, left_out = pages("".join(f'<img src="{image}" alt="x">' for image in images), "a.html")
    assert left_out == {"images_unreadable": 4, "images_too_large": 1}
    assert made.text() == "[x][x][x][x][x] 1 / 1"


ENTITIES = '<?xml version="1.0"?><!DOCTYPE a [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;">]>'


@pytest.mark.parametrize(
    ("content", "name", "code"),
    [
        (b"no zip", "a.docx", "document_damaged"),
        (docx(WORD.format(""))[:300], "a.docx", "document_damaged"),
        (docx(WORD.format("&b;"), doctype=ENTITIES), "a.docx", "document_entities"),
        (docx(WORD.format(""), members={"word/x.xml": b" " * (17 << 20)}), "a.docx", "document_too_large"),
        (docx(WORD.format(""), members={f"word/media/{n}": bytes(33 << 20) for n in range(4)}), "a.docx",
         "document_too_large"),
        (docx("<w:p>" + "<w:r/>" * 250_000 + "</w:p>"), "a.docx", "document_too_large"),
        ("é".encode("latin-1"), "a.md", "document_encoding"),
        ("é".encode("utf-16"), "a.html", "document_encoding"),
        (b"a" * (reading.MAX_TEXT_BYTES + 1), "a.md", "document_too_large"),
        (b"<p>words words words" * 200_000, "a.html", "document_too_large"),
        (b"a", "a.rtf", "document_format"),
    ],
    ids=["no zip", "cut off", "entities", "member", "bomb", "elements", "latin", "utf-16", "long", "paragraphs",
         "name"],
)  # fmt: skip
def test_a_hostile_or_unknown_document_is_refused(
    converted: Any, monkeypatch: pytest.MonkeyPatch, content: bytes, name: str, code: str
) -> None:
    monkeypatch.setattr(conversion, "PROCESS_BYTES", 160 * MIB)
    done = converted(content, name)
    assert (done.fault.code, done.will_retry) == (code, False)


@pytest.mark.parametrize(
    "html",
    ["<blockquote>" * 20_000 + "deep", "<ul><li>" * 20_000 + "deep", "<table><tr><td>" * 2_000 + "deep",
     "<b><i><u><s>" * 20_000 + "deep", "<p><font>" * 20_000 + "deep", "<pre>" * 20_000 + "deep"],
    ids=["quotes", "lists", "tables", "marks", "paragraphs", "code"],
)  # fmt: skip
def test_deep_html_is_flattened_in_linear_time(pages: Any, html: str) -> None:
    made, _ = pages(html, "a.html")
    assert "deep" in made.text(len(made) - 1)


def test_a_worker_with_little_memory_makes_shorter_documents(converted: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conversion, "PROCESS_BYTES", 128 * MIB)
    page = "Words of a paragraph that is as long as they usually are. " * 70 + "\n\n"
    assert converted(page * 40, "a.md").result["pages"] == 30
    assert converted(page * 400, "a.md").fault.code == "document_too_large"


def test_an_earlier_attempts_pdf_is_found(run: Run, upload: Upload, engine: Engine) -> None:
    item, task_id = upload(b"# A", "a.b/c.md"), new_id()
    results = [run("files.convert_document", {"item_id": item.id}, task_id=task_id).result for _ in range(2)]
    assert [(one["item_id"], one["name"]) for one in results] == [(results[0]["item_id"], "c.pdf")] * 2
    assert [one["pages"] for one in results] == [1, None]


def test_a_cancelled_conversion_ends_its_process(
    upload: Upload, storage: LocalStorage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Ended(Exception):
        pass

    def check() -> None:
        raise Ended

    item = upload(b"<p>words words words" * 100_000, "a.html")
    options: dict[str, Any] = {"paper": "a4", "language": "en", "title": "", "temp_dir": tmp_path}
    memory = Memory(512 * MIB)
    began = time.monotonic()
    with storage.open(item.storage_key) as file, pytest.raises(Ended):
        conversion.convert(file, "html", memory=memory, check=check, **options)
    assert not list(tmp_path.glob("tmp*"))
    with memory.share(512 * MIB, check):
        assert time.monotonic() - began < 30

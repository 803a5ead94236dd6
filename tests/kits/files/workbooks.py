"""Workbooks of Excel, sound ones and hostile ones."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Callable, Sequence
from typing import Any

import openpyxl


def workbook(*rows: Sequence[Any], sheets: Sequence[str] = ("Sheet",)) -> bytes:
    """The rows on the last sheet."""
    book, file = openpyxl.Workbook(), io.BytesIO()
    book.remove(book.worksheets[0])
    for name in sheets:
        sheet = book.create_sheet(name)
    for row in rows:
        sheet.append(row)
    book.save(file)
    return file.getvalue()


def rewritten(content: bytes, member: str, change: Callable[[bytes], bytes]) -> bytes:
    """The workbook with this member changed, or made."""
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            data = old.read(name)
            new.writestr(name, change(data) if name == member else data)
        if member not in old.namelist():
            new.writestr(member, change(b""))
    return file.getvalue()


def with_entities(content: bytes, member: str) -> bytes:
    """Billion laughs, in small."""
    doctype = b'<!DOCTYPE a [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>'

    def change(data: bytes) -> bytes:
        declaration = re.match(rb"\s*<\?xml[^>]*\?>", data)
        at = declaration.end() if declaration else 0
        return data[:at] + doctype + data[at:]

    return rewritten(content, member, change)


def sheet_of(xml_rows: str) -> bytes:
    """A workbook whose only sheet has these rows, as XML."""
    path = "xl/worksheets/sheet1.xml"
    rows = f"<sheetData>{xml_rows}</sheetData>".encode()
    whole = re.compile(rb"<sheetData>.*</sheetData>", re.DOTALL)
    return rewritten(workbook(["a"]), path, lambda data: whole.sub(rows, data))


def with_shared_strings(content: bytes, strings: Sequence[str]) -> bytes:
    """As Excel writes a workbook: its cells, which have to be texts, name strings of a table."""
    numbers = iter(range(len(strings)))

    def cells(data: bytes) -> bytes:
        inline = rb't="inlineStr"><is><t>[^<]*</t></is>'
        return re.sub(inline, lambda _: b't="s"><v>%d</v>' % next(numbers), data)

    table = "".join(f"<si><t>{text}</t></si>" for text in strings)
    table = f'<sst xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main">{table}</sst>'
    kind = "application/vnd.openxmlformats-officedocument.spreadsheetml.sharedStrings+xml"
    override = f'<Override PartName="/xl/sharedStrings.xml" ContentType="{kind}"/></Types>'.encode()
    content = rewritten(content, "xl/worksheets/sheet1.xml", cells)
    content = rewritten(content, "[Content_Types].xml", lambda data: data.replace(b"</Types>", override))
    return rewritten(content, "xl/sharedStrings.xml", lambda _: table.encode())

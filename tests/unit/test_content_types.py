"""The type of a file comes from its content: a name or a header that says otherwise is not believed."""

import gzip
import io
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskyard_api.content_types import HEAD_BYTES, UNKNOWN, type_of


def zipped(name: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(name, "x")
    return file.getvalue()


DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
PNG = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + bytes(50)
JPEG = b"\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01" + bytes(50)
HTML = b"<!DOCTYPE html><html><script>alert(1)</script>"


@pytest.mark.parametrize(
    ("head", "told", "found"),
    [
        (PNG, "image/png", "image/png"),
        (PNG, "text/html", "image/png"),
        (JPEG, "application/octet-stream", "image/jpeg"),
        (JPEG, "image/jpg", "image/jpeg"),
        (b"%PDF-1.7\n", "image/png", "application/pdf"),
        (HTML, "image/png", "text/html"),
        (HTML, "text/plain", "text/html"),
        (b"just words\n", "text/html", "text/plain"),
        (b"just words\n", "image/png", "text/plain"),
        (b"a,b\n1,2\n", "text/csv; charset=utf-8", "text/csv; charset=utf-8"),
        (b'{"a": 1}', "application/json", "application/json"),
        (b"a,b\n", "application/javascript", "text/plain"),
        (b'<svg xmlns="http://www.w3.org/2000/svg"></svg>', "image/png", "image/svg+xml"),
        (b"BM is a company", "text/plain", "text/plain"),
        ("né".encode()[:-1], "text/plain", "text/plain"),
        (gzip.compress(b"x" * 100, mtime=0), "text/plain", "application/gzip"),
        (zipped("a.txt"), "application/octet-stream", "application/zip"),
        (zipped("word/document.xml"), DOCX, DOCX),
        (bytes(range(256)), "image/jpeg", UNKNOWN),
        (bytes(range(256)), "application/x-parquet", UNKNOWN),
        (b"", "image/png", UNKNOWN),
    ],
)
def test_the_type_comes_from_the_content(head: bytes, told: str, found: str) -> None:
    assert type_of(head, told) == found


@given(st.binary(max_size=HEAD_BYTES), st.sampled_from(["image/png", "text/html", "text/csv", UNKNOWN]))
def test_any_bytes_have_a_type(head: bytes, told: str) -> None:
    found = type_of(head, told)
    kind, slash, subtype = found.partition("/")
    assert kind
    assert slash
    assert subtype
    assert found.isascii()

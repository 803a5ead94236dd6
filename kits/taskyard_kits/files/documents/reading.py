"""Documents as HTML, from what they are stored as. Nothing outside of the file is read."""

from __future__ import annotations

import io
import zipfile
from typing import Any, BinaryIO

MIB = 1024**2
MAX_TEXT_BYTES = 4 * MIB
MAX_DOCX_BYTES = 32 * MIB
# What the members of a DOCX may be when they are unpacked. zipfile gives no more of one than its entry says.
_MAX_XML_BYTES = 16 * MIB
_MAX_UNPACKED_BYTES = 128 * MIB
_MAX_MEMBERS = 5_000
_STYLES = "p[style-name='Title'] => h1:fresh\np[style-name='Subtitle'] => h2:fresh"


class TooLarge(Exception):
    """When it is unpacked."""


class TooDeep(Exception):
    """Its lists and quotes, in one another."""


def of_html(file: BinaryIO) -> str:
    """Raises UnicodeDecodeError."""
    return file.read().decode("utf-8-sig")


def of_markdown(file: BinaryIO) -> str:
    """CommonMark with tables and strikethrough; HTML in it is read as HTML. Raises UnicodeDecodeError, and TooDeep."""
    from .markdown import MAX_NESTING, Reader

    reader = Reader()
    tokens = reader.parse(of_html(file))
    # What stands within it would be passed over.
    if any(token.nesting == 1 and token.level + 1 >= MAX_NESTING for token in tokens):
        raise TooDeep
    return str(reader.renderer.render(tokens, reader.options, {}))


def of_docx(file: BinaryIO) -> str:
    """Raises TooLarge, and what mammoth and defusedxml raise."""
    content = io.BytesIO(file.read())  # mammoth asks a file for its path, which a descriptor has not
    _check(content)
    import defusedxml

    # Before mammoth takes its parser from there.
    harden: Any = defusedxml
    harden.defuse_stdlib()
    import mammoth

    found: Any = mammoth.convert_to_html(
        content, style_map=_STYLES, include_embedded_style_map=False, external_file_access=False
    )
    return str(found.value)


def _check(file: BinaryIO) -> None:
    with zipfile.ZipFile(file) as archive:
        members = archive.infolist()
    if len(members) > _MAX_MEMBERS or sum(member.file_size for member in members) > _MAX_UNPACKED_BYTES:
        raise TooLarge
    if any(member.file_size > _MAX_XML_BYTES for member in members if not _is_media(member.filename)):
        raise TooLarge
    file.seek(0)


def _is_media(name: str) -> bool:
    return "/media/" in name


READERS = {"markdown": of_markdown, "html": of_html, "docx": of_docx}

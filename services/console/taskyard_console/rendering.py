"""Pages, rendered by Jinja2: everything is escaped, and a name that is missing is an error."""

from __future__ import annotations

import hashlib
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote_plus

import falcon.asgi
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from .cron_words import cron_words
from .formats import Formats, zone_of
from .json_text import json_text, one_line
from .kept import Kept
from .navigation import ENTRIES
from .plain_texts import plain_texts
from .words import LANGUAGES

if TYPE_CHECKING:
    from babel.support import NullTranslations

    from .visits import Visit

_HERE = Path(__file__).parent
STATIC = _HERE / "static"
# What has more values is shown as JSON.
MOST_IN_TREE = 2_000
# What has a meaning in them, and no other character, may stand behind a backslash there.
_SYNTAX = re.compile(r"[\^$\\.*+?()\[\]{}|/]")


@dataclass(frozen=True, slots=True)
class StaticFile:
    data: bytes
    version: str


def read_static() -> dict[str, StaticFile]:
    return {
        path.name: StaticFile(data := path.read_bytes(), hashlib.sha256(data).hexdigest()[:16])
        for path in sorted(STATIC.iterdir())
        if path.is_file()
    }


class Rendering:
    """`path`: that of the console, which every address in a page begins with."""

    def __init__(
        self,
        catalogues: Mapping[str, NullTranslations],
        static: Mapping[str, StaticFile],
        *,
        path: str,
        read_only: bool,
    ) -> None:
        self._path = path
        self._static = static
        self._read_only = read_only
        self._environments = {language: self._environment(language, words) for language, words in catalogues.items()}

    def show(
        self,
        resp: falcon.asgi.Response,
        visit: Visit,
        template: str,
        *,
        status: str | int = falcon.HTTP_OK,
        **values: Any,
    ) -> None:
        """`values`: what the template names. A fragment is the page without what stands around it."""
        environment = self._environments[visit.language]
        shared = {"visit": visit, "base": "fragment.html" if visit.is_fragment else "layout.html"}
        parts = environment.get_template("parts.html").make_module(shared)
        text = environment.get_template(template).render(shared, ui=parts, **values)
        resp.status = status
        resp.content_type = "text/html; charset=utf-8"
        resp.text = text
        resp.set_header("Content-Language", visit.language)
        resp.set_header("Vary", "Accept-Language, Cookie, X-Fragment")
        if not visit.has_cookie:  # its token is in the page's forms
            visit.cookies.write_session(resp, visit.session)
        if visit.notice is not None and not visit.is_fragment:
            visit.cookies.end_notice(resp)

    def _environment(self, language: str, words: NullTranslations) -> Environment:
        environment = Environment(
            loader=FileSystemLoader(_HERE / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            extensions=["jinja2.ext.i18n", "jinja2.ext.do", plain_texts(words.gettext)],
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        environment.install_gettext_translations(words, newstyle=True)  # type: ignore[attr-defined]
        own = {
            "query": _query,
            "as_json": partial(json_text, indent=2),
            "one_line": one_line,
            "shell": shlex.quote,
            "pattern": _pattern,
            "is_large": _is_large,
            "tuple": tuple,
        }
        environment.filters.update(Formats(language).filters(), **own)
        environment.filters.update(cron_words=partial(cron_words, language=language), zone=zone_of, beside=zip)
        environment.globals.update(
            link=self._link,
            static=self._static_link,
            navigation=ENTRIES,
            languages=LANGUAGES,
            language=language,
            read_only=self._read_only,
            kept=Kept(environment),
        )
        return environment

    def _link(self, path: str, **query: Any) -> str:
        asked = _query(query) if query else ""
        return f"{self._path}{path}{'?' if asked else ''}{asked}"

    def _static_link(self, name: str) -> str:
        return f"{self._path}/static/{name}?v={self._static[name].version}"


def _query(values: Mapping[str, Any]) -> str:
    """A query string; what is None or empty is left out. Of a list, each."""
    given = ((name, value) for name, value in values.items() if value not in (None, "", []))
    pairs = ((name, one) for name, value in given for one in (value if isinstance(value, list | tuple) else (value,)))
    return "&".join(f"{_quoted(name)}={_quoted(str(one))}" for name, one in pairs)


# The same names stand in hundreds of addresses of a page.
_quoted = lru_cache(10_000)(quote_plus)


def _is_large(value: Any) -> bool:
    """A tree of it would take seconds, and keep the other readers waiting."""
    left, waiting = MOST_IN_TREE, [value]
    while waiting and left >= 0:
        one = waiting.pop()
        if isinstance(one, dict | list):
            left -= len(one)
            waiting += one.values() if isinstance(one, dict) else one
    return left < 0


def _pattern(text: str) -> str:
    """A regular expression of browsers that only `text` matches."""
    return _SYNTAX.sub(r"\\\g<0>", text)

"""Pages for people: what this is, and the OpenAPI document as a page. They need no key, and tell no more than that
document. Nothing on them is loaded from elsewhere: the files of Swagger UI come from a wheel."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from string import Template

import falcon.asgi

from taskyard.domain.errors import NotFound
from taskyard.domain.messages import message
from taskyard.version import __version__

from .. import openapi, views
from ..conditions import Validators
from ..operations import ANYTHING, JSON, Answer, Operation
from ..requests import Request

HTML = "text/html"
DOCS = "/docs"
_OURS = Path(__file__).parent.parent / "pages"
_SCRIPTS, _STYLES = "text/javascript; charset=utf-8", "text/css; charset=utf-8"
# Swagger UI's icons are data.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self';"
    " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def _harden(resp: falcon.asgi.Response) -> None:
    resp.set_header("Content-Security-Policy", _POLICY)
    resp.set_header("X-Content-Type-Options", "nosniff")
    resp.set_header("Referrer-Policy", "no-referrer")


class Home:
    """`has_docs`: whether there is a page at /docs."""

    def __init__(self, *, has_docs: bool) -> None:
        links = {"openapi": openapi.PATH, "live": "/health/live", "ready": "/health/ready"}
        if has_docs:
            links = {"docs": DOCS, **links}
        self._told = {"name": "Taskyard", "version": __version__, "api": "/api/v1", **links}
        items = "\n".join(f'<li><a href="{path.lstrip("/")}">{path}</a></li>' for path in links.values())
        page = Template((_OURS / "home.html").read_text(encoding="utf-8"))
        self._page = page.substitute(version=__version__, links=items).encode()

    @Operation(
        summary="What this is, and where its description is",
        scope=None,
        answers={200: Answer(description="Name, version, addresses.", also=HTML)},
    )
    async def on_get(self, req: Request, resp: falcon.asgi.Response) -> None:
        if req.client_prefers((JSON, HTML)) == HTML:
            resp.content_type = f"{HTML}; charset=utf-8"
            resp.data = self._page
        else:
            views.send(resp, 200, self._told)
        _harden(resp)
        resp.append_header("Vary", "Accept")


class Docs:
    def __init__(self) -> None:
        self._page = (_OURS / "docs.html").read_bytes()

    @Operation(
        summary="The OpenAPI document as a page",
        scope=None,
        answers={200: Answer(description="The page.", media_type=HTML)},
    )
    async def on_get(self, req: Request, resp: falcon.asgi.Response) -> None:
        resp.content_type = f"{HTML}; charset=utf-8"
        resp.data = self._page
        _harden(resp)


class _File:
    def __init__(self, path: Path, content_type: str) -> None:
        self.content_type = content_type
        self.content = path.read_bytes()
        made = datetime.fromtimestamp(path.stat().st_mtime, UTC)
        self.validators = Validators(hashlib.sha256(self.content).hexdigest(), made)


class DocsFile:
    def __init__(self) -> None:
        # Found, not imported: the package's own code is for Flask.
        package = find_spec("flask_swagger_ui")
        assert package is not None
        assert package.origin is not None
        theirs = Path(package.origin).parent / "dist"
        self._files = {
            "start.js": _File(_OURS / "start.js", _SCRIPTS),
            "swagger-ui-bundle.js": _File(theirs / "swagger-ui-bundle.js", _SCRIPTS),
            "swagger-ui.css": _File(theirs / "swagger-ui.css", _STYLES),
        }

    @Operation(
        summary="A file of that page",
        scope=None,
        answers={
            200: Answer(description="The file.", media_type=ANYTHING),
            304: Answer(description="The caller has it already."),
        },
        refusals=(404, 412),
    )
    async def on_get(self, req: Request, resp: falcon.asgi.Response, name: str) -> None:
        found = self._files.get(name)
        if found is None:
            raise NotFound(message("There is no such file."))
        if found.validators.answer_from_cache(req, resp):
            return
        resp.set_header("Cache-Control", "no-cache")
        resp.content_type = found.content_type
        resp.data = found.content
        _harden(resp)

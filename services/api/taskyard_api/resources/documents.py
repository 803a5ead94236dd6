"""GET /openapi.json."""

from __future__ import annotations

from typing import Any

import falcon.asgi
import orjson

from ..requests import Request

PATH = "/openapi.json"


class OpenApi:
    def __init__(self, document: dict[str, Any]) -> None:
        self._document = orjson.dumps(document, option=orjson.OPT_INDENT_2)

    async def on_get(self, req: Request, resp: falcon.asgi.Response) -> None:
        resp.content_type = "application/json"
        resp.data = self._document

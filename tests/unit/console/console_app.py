"""The console's application without a server, before an API that tells of one key."""

from __future__ import annotations

import asyncio
import html
import re
from dataclasses import dataclass
from http.cookies import Morsel, SimpleCookie
from typing import Any, ClassVar
from unittest.mock import patch

import httpx2
from cryptography.fernet import Fernet

from taskyard.domain.api_keys import make_key
from taskyard.settings import Settings
from taskyard_console import composition
from taskyard_console.rendering import Rendering

KEY = make_key().text
OWN_KEY = make_key().text
CSRF = re.compile(r'name="csrf" value="([^"]+)"')


def values_of(page: str, name: str) -> list[str]:
    """Those of the hidden fields and boxes of this name."""
    return [html.unescape(one) for one in re.findall(rf'name="{re.escape(name)}" value="([^"]*)"', page)]


def hidden_of(form: str) -> dict[str, str | list[str]]:
    """The fields of a form that readers do not see."""
    names = re.findall(r'type="hidden" name="([^"]+)"', form)
    return {name: values_of(form, name) for name in names if name != "csrf"}


class Api:
    """Answers as the API does; `calls` is what was asked, with the headers."""

    def __init__(self, *scopes: str, queues: list[str] | None = None) -> None:
        self.scopes = list(scopes) or ["read", "submit", "manage"]
        self.queues = queues
        self.refuses = False
        self.calls: list[httpx2.Request] = []

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        self.calls.append(request)
        known = request.headers.get("Authorization") in {f"Bearer {KEY}", f"Bearer {OWN_KEY}"}
        if self.refuses or not known:
            return httpx2.Response(
                401, json={"status": 401, "code": "invalid_key", "detail": "There is no such API key."}
            )
        match request.url.path:
            case "/api/v1/key":
                told = {"id": "00000000-0000-0000-0000-000000000001", "name": "mailer", "expires_at": None}
                return httpx2.Response(200, json={**told, "scopes": self.scopes, "queues": self.queues})
            case "/api/v1/tasks":
                return httpx2.Response(200, json={"items": [], "next_cursor": None})
            case path if path.endswith("/cancel"):
                task_id = path.split("/")[-2]
                return httpx2.Response(202, json={"task_id": task_id, "status": "CANCELLED", "message": "Cancelled."})
        return httpx2.Response(404, json={"status": 404, "code": "not_found", "detail": "There is no such task."})

    def changes(self) -> list[httpx2.Request]:
        return [call for call in self.calls if call.method == "POST"]


@dataclass(frozen=True)
class Answer:
    status_code: int
    headers: dict[str, str]
    text: str
    cookies: dict[str, Morsel[str]]


class _Rendering(Rendering):
    """Compiles a template once for all tests."""

    _made: ClassVar[dict[tuple[str, str, bool], Any]] = {}

    def _environment(self, language: str, words: Any) -> Any:
        key = (language, self._path, self._read_only)
        if key not in self._made:
            self._made[key] = super()._environment(language, words)
        return self._made[key]


class Browser:
    """Keeps cookies, and knows the CSRF token of the last page."""

    def __init__(self, api: Api | None = None, **settings: Any) -> None:
        self.api = api or Api()
        secrets = {"console_secrets": Fernet.generate_key().decode()}
        made = Settings.model_validate({"url": "http://api.test", **secrets, **settings})
        with patch.object(composition, "Rendering", _Rendering):
            service = composition.build(made, transport=httpx2.MockTransport(self.api))
        self.app, self.metrics = service.app, service.metrics
        self.cookies: dict[str, str] = {}
        self.token = ""

    def get(self, path: str, **headers: str) -> Answer:
        return self._sent("GET", path, headers)

    def post(self, path: str, headers: dict[str, str] | None = None, /, **form: str | list[str]) -> Answer:
        kind = {"Content-Type": "application/x-www-form-urlencoded", **(headers or {})}
        return self._sent("POST", path, kind, str(httpx2.QueryParams({"csrf": self.token, **form})))

    def _sent(self, method: str, path: str, headers: dict[str, str], body: str = "") -> Answer:
        cookie = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        answer = asyncio.run(self._ask(method, path, {"Cookie": cookie, **headers}, body))
        for name, morsel in answer.cookies.items():
            if not morsel.value:
                self.cookies.pop(name, None)
            else:
                self.cookies[name] = morsel.value
        if found := CSRF.search(answer.text):
            self.token = found[1]
        return answer

    async def _ask(self, method: str, path: str, headers: dict[str, str], body: str) -> Answer:
        transport = httpx2.ASGITransport(app=self.app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://console.test") as client:
            found = await client.request(method, path, headers=headers, content=body)
        jar: SimpleCookie = SimpleCookie()
        for line in found.headers.get_list("Set-Cookie"):
            jar.load(line)
        return Answer(found.status_code, dict(found.headers), found.text, dict(jar))

    def sign_in(self, key: str = KEY, **form: str) -> Answer:
        self.get("/sign-in")
        return self.post("/sign-in", None, key=key, **form)

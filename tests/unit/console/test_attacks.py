"""What nobody may do from elsewhere or with too few rights, tried at every route of the application: a page that is
added is tried, too."""

from __future__ import annotations

import asyncio
import time
from typing import Any
from uuid import uuid4
from zoneinfo import ZoneInfo

import httpx2
import pytest
from cryptography.fernet import Fernet

from taskyard_console.formats import Formats
from taskyard_console.links import Links
from taskyard_console.page import Page
from taskyard_console.pages.tasks import Views
from taskyard_console.rendering import _is_large
from taskyard_console.sessions import Vault
from taskyard_console.visits import MAX_ADDRESS_BYTES
from tests.support import console_routes
from tests.support.console_routes import ASKED, filled

from .console_app import KEY, Api, Browser

FORM = {"Content-Type": "application/x-www-form-urlencoded"}


def addresses(routes: dict[str, type[Page]]) -> dict[str, type[Page]]:
    return {filled(route, "default" if "{name}" in route else str(uuid4())): kind for route, kind in routes.items()}


PAGES, FORMS = addresses(console_routes.READ), addresses(console_routes.FORMS)
READ = [path for path in PAGES if path != "/live"]  # which never ends
# What a reader may always do: sign in and out, choose a language, and save a view in the own browser.
HARMLESS = {path for path, kind in FORMS.items() if kind.is_public or kind is Views}


def signed_in(*scopes: str, **settings: Any) -> Browser:
    browser = Browser(Api(*scopes), **settings)
    browser.sign_in()
    browser.get("/tasks")
    browser.api.calls.clear()
    return browser


def changes(browser: Browser) -> list[str]:
    """What the API was asked to change. A preview changes nothing."""
    previews = [call for call in browser.api.calls if b'"dry_run":true' in call.content or "preview" in call.url.path]
    return [str(call.url) for call in browser.api.calls if call.method != "GET" and call not in previews]


def test_there_are_forms_to_forge() -> None:
    assert len(FORMS) > 30
    assert {path for path, kind in FORMS.items() if not issubclass(kind, Page)} == set()


@pytest.mark.parametrize("token", ["", "guessed", "another's"])
def test_no_form_is_taken_without_the_token_of_its_session(token: str) -> None:
    browser = signed_in("admin")
    if token == "another's":
        token = signed_in("admin").token
    statuses = {path: browser.post(path, csrf=token).status_code for path in FORMS}
    assert statuses == dict.fromkeys(FORMS, 403)
    assert changes(browser) == []


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},  # another port of the same host, which gets the cookie
        {"Origin": "null"},
        {"Origin": "http://console.test.evil.example"},
        {"Origin": "http://console.test:81"},
    ],
    ids=lambda headers: "-".join(*headers.items()),
)
def test_no_form_is_taken_from_another_site(headers: dict[str, str]) -> None:
    browser = signed_in("admin")
    token = browser.token
    statuses = {path: browser.post(path, headers, csrf=token).status_code for path in FORMS}
    assert statuses == dict.fromkeys(FORMS, 403)
    assert changes(browser) == []


def test_no_address_changes_anything() -> None:
    browser = signed_in("admin")
    for path in READ:
        browser.get(path)
    assert changes(browser) == []


def test_no_other_method_passes_by_the_token() -> None:
    browser = signed_in("admin")
    for path in FORMS:
        for method in ("PUT", "PATCH", "DELETE", "OPTIONS"):
            assert browser._sent(method, path, FORM).status_code in {403, 404}, (method, path)
    assert changes(browser) == []


@pytest.mark.parametrize(
    ("scopes", "settings"), [(["read"], {}), (["admin"], {"console_read_only": True})], ids=["key", "console"]
)
def test_who_may_only_read_presses_nothing_and_is_told_so(scopes: list[str], settings: dict[str, Any]) -> None:
    browser = signed_in(*scopes, **settings)
    token = browser.token
    for path in FORMS.keys() - HARMLESS:
        answer = browser.post(path, csrf=token)
        assert (answer.status_code, "Your sign-in does not allow this." in answer.text) == (403, True), path
    assert changes(browser) == []


def test_who_is_not_signed_in_reads_nothing_and_presses_nothing() -> None:
    browser = Browser()
    browser.get("/sign-in")
    token = browser.token
    for path in [path for path, kind in PAGES.items() if not kind.is_public]:
        answer = browser.get(path)
        assert answer.status_code in {303, 401}, path
        assert answer.headers.get("location", "/sign-in?").startswith("/sign-in?"), path
    for path, kind in FORMS.items():
        if not kind.is_public:
            assert browser.post(path, csrf=token).headers["location"] == "/sign-in", path
    assert browser.api.calls == []


def test_every_answer_forbids_scripts_frames_guesses_of_types_and_caches() -> None:
    browser = signed_in("admin")
    for path in (*READ, "/nowhere", "/tasks/no-id"):
        headers = browser.get(path).headers
        assert "default-src 'none'" in headers["content-security-policy"], path
        assert "frame-ancestors 'none'" in headers["content-security-policy"], path
        assert "unsafe" not in headers["content-security-policy"], path
        assert headers["x-content-type-options"] == "nosniff", path
        assert headers["cache-control"] == "no-store", path
        assert headers["cross-origin-opener-policy"] == "same-origin", path


def test_no_page_writes_the_session_again_which_would_lengthen_its_life() -> None:
    settings = {
        "console_oidc_issuer": "http://127.0.0.1:9",
        "console_oidc_client_id": "x",
        "console_oidc_roles": "a:read",
    }
    browser = signed_in("admin", **{f"console_oidc_{name}": value for name, value in settings.items()})
    before = dict(browser.cookies)
    for path in (*READ, "/sign-in/return?code=x&state=y", "/sign-in/link?token=x"):
        assert "taskyard_session" not in browser.get(path).cookies, path
    assert browser.cookies["taskyard_session"] == before["taskyard_session"]
    assert browser.get("/tasks").status_code == 200  # and none has ended it


def test_a_session_that_somebody_planted_is_not_the_one_that_signs_in() -> None:
    attacker, victim = Browser(), Browser()
    victim.app = attacker.app
    attacker.get("/sign-in")
    victim.cookies = dict(attacker.cookies)
    victim.sign_in()
    assert victim.get("/tasks").status_code == 200
    assert attacker.get("/tasks").status_code == 303
    assert victim.post("/choices", csrf=attacker.token).status_code == 403


def test_signing_out_takes_the_session_away_from_the_browser() -> None:
    browser = signed_in()
    assert browser.post("/sign-out").headers["location"] == "/sign-in"
    assert "taskyard_session" not in browser.cookies
    assert browser.get("/tasks").status_code == 303


def test_of_many_who_follow_a_link_at_the_same_time_one_is_signed_in() -> None:
    secret = Fernet.generate_key().decode()
    browser = Browser(console_secrets=secret)
    there = f"/sign-in/link?token={Links(Vault([secret], clock=lambda: int(time.time()))).make(KEY)}"

    async def race() -> list[str]:
        answers = await asyncio.gather(*(browser._ask("GET", there, {}, "") for _ in range(20)))
        return [answer.headers["location"] for answer in answers]

    assert sorted(asyncio.run(race())) == ["/", *["/sign-in"] * 19]


LEADING_AWAY = (
    *("//evil.example", "////evil.example", "///evil.example/%2f..", "/\\evil.example", "\\\\evil.example"),
    *("/\t/evil.example", "/\n/evil.example", "\t//evil.example", " //evil.example", "/\x00/evil.example"),
    *("https:evil.example", "https:/evil.example", "http://evil.example", "HTTPS://evil.example/"),
    *("javascript:alert(1)", "data:text/html,x", "@evil.example", ".evil.example", "evil.example", "?next=//x"),
    *("//evil.example\\@console.test", "/\\\tevil.example", "/tasks\\..\\..\\evil", "/tasks\r\nX: y"),
)


@pytest.mark.parametrize("path", ["", "/console"])
def test_no_address_leads_elsewhere(path: str) -> None:
    browser = Browser(console_path=path)
    browser.get(f"{path}/sign-in")
    first = browser.post(f"{path}/sign-in", key=KEY, next=LEADING_AWAY[0])
    assert first.headers["location"] == f"{path}/"
    browser.get(f"{path}/tasks")
    for address in LEADING_AWAY:
        there = httpx2.QueryParams({"next": address})
        assert browser.get(f"{path}/sign-in?{there}").headers["location"] == f"{path}/", address
        assert browser.post(f"{path}/choices", next=address).headers["location"] == f"{path}/", address


def test_a_name_that_looks_like_a_time_fails_no_page() -> None:
    told = Formats("en").told(
        "<i> 9999-99-99T99:99:99Z 9999-12-31T23:59:59Z 2026-01-01T00:00:00Z", ZoneInfo("Etc/GMT-14")
    )
    assert told.startswith("&lt;i&gt; 9999-99-99T99:99:99Z 9999-12-31T23:59:59Z <time ")


@pytest.mark.parametrize(
    ("value", "large"),
    [
        ([0] * 2_000, False),
        ([0] * 2_001, True),
        ({"a": [{"b": [1] * 700}] * 3}, True),
        ("x" * 9_000, False),
        (None, False),
    ],
)
def test_a_tree_is_bounded(value: Any, *, large: bool) -> None:
    assert _is_large(value) == large


@pytest.mark.parametrize("signs_in", [True, False])
@pytest.mark.parametrize("path", ["/tasks?name=", "/queues/", "/sign-in?next=", "/nowhere?", "/live?name="])
def test_an_address_that_is_too_long_is_refused_before_anything_is_asked(path: str, *, signs_in: bool) -> None:
    browser = signed_in() if signs_in else Browser(Api())
    answer = browser.get(path + "x" * 60_000)
    assert (answer.status_code, browser.api.calls) == (414, [])
    assert "The address is too long." in answer.text
    assert len(answer.text) < 20_000, "it is not repeated"


def test_the_longest_address_fails_no_page() -> None:
    browser = signed_in("admin")
    for path in ("/tasks?name=", "/tasks?tag=", "/queues/", "/sign-in?next=", "/nowhere?"):
        for letter in ("x", "é", "%25"):
            left = MAX_ADDRESS_BYTES - len(path) + 1
            longest = path + (letter * left)[: left // len(letter.encode())]
            assert browser.get(longest).status_code < 500


@pytest.mark.parametrize("text", ["9" * 5_000, "0001-01-01T00:00", "nan", "\x00", "٣"])
def test_no_address_fails_a_page(text: str) -> None:
    browser = signed_in("admin")
    browser.cookies["taskyard_zone"] = "Pacific/Kiritimati"
    names = [ASKED] if len(text) < 100 else [["limit"], ["from"], ["attempt"]]
    queries = [str(httpx2.QueryParams(dict.fromkeys(asked, text))) for asked in names]
    headers = {"Accept-Language": f"de;q={text.encode('ascii', 'ignore').decode().strip(chr(0))}"}
    statuses = {
        (path, query): browser.get(f"{path}?{query}", **headers).status_code for path in READ for query in queries
    }
    assert {of: status for of, status in statuses.items() if status == 414 or status >= 500} == {}

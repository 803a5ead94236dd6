"""Sessions: they end with the right that they came from, and nothing that a reader typed is lost with them."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import httpx2
import pytest
from cryptography.fernet import Fernet

from taskyard_console import passwords
from taskyard_console.passwords import Checks, TooManyChecks, Users, hashed
from taskyard_console.sessions import BY_PASSWORD, BY_PROVIDER, Session, Sessions, Vault

from .console_app import KEY, OWN_KEY, Api, Browser

SECRET = Fernet.generate_key().decode()
PROVIDER: dict[str, Any] = {
    "console_oidc_issuer": "https://login.example",
    "console_oidc_client_id": "console",
    "console_api_key": OWN_KEY,
    "console_oidc_roles": "staff:manage",
    "console_url": "https://console.test",
}


@pytest.fixture(scope="module")
def password() -> str:
    return hashed("battery")


def console(session: Session | None = None, api: Api | None = None, **settings: Any) -> Browser:
    """A console with these settings, and a browser with this session."""
    browser = Browser(api or Api("admin"), console_secrets=SECRET, **settings)
    if session is not None:
        browser.cookies["taskyard_session"] = written(session)
    return browser


def written(session: Session | dict[str, Any]) -> str:
    import time
    from datetime import timedelta

    vault = Vault([SECRET], clock=lambda: int(time.time()))
    if isinstance(session, dict):
        return vault.seal("session", session)
    return Sessions(vault, timedelta(hours=1)).written(session)


def test_a_user_who_is_taken_out_of_the_setting_is_signed_out_and_a_lowered_role_counts_at_once(password: str) -> None:
    anna = Session(name="anna", role="admin", way=BY_PASSWORD)
    with_anna = console(anna, console_users=f"anna:read:{password}", console_api_key=OWN_KEY)
    assert with_anna.get("/tasks").status_code == 200
    assert with_anna.get("/keys").status_code == 403
    without = console(anna, console_users=f"bela:admin:{password}", console_api_key=OWN_KEY)
    assert without.get("/tasks").headers["location"] == "/sign-in?next=%2Ftasks"


def test_a_session_of_a_provider_ends_where_its_role_or_the_provider_is_taken_away() -> None:
    anna = Session(name="anna", role="admin", way=BY_PROVIDER)
    none: dict[str, Any] = {}
    for settings in (none, PROVIDER):
        assert console(anna, **settings).get("/tasks").status_code == 303


def test_a_session_of_a_key_ends_where_keys_no_longer_sign_in() -> None:
    browser = console()
    browser.sign_in()
    after = console(console_sign_in_with_keys=False)
    after.cookies = browser.cookies
    assert after.get("/tasks").status_code == 303


def test_the_refusal_of_the_consoles_own_key_is_said_and_signs_nobody_out(password: str) -> None:
    anna = Session(name="anna", role="read", way=BY_PASSWORD)
    browser = console(anna, console_users=f"anna:read:{password}", console_api_key=OWN_KEY)
    browser.api.refuses = True
    page = browser.get("/tasks")
    assert (page.status_code, "own key" in page.text) == (503, True)
    assert "taskyard_session" in browser.cookies
    assert browser.get("/sign-in").status_code == 200


def test_a_session_that_gives_no_right_leads_to_another_sign_in_and_not_round() -> None:
    anna = Session(name="anna", role="read", way=BY_PASSWORD)
    browser = console(anna)
    assert browser.get("/tasks").headers["location"] == "/sign-in?next=%2Ftasks"
    assert browser.get("/sign-in?next=%2Ftasks").status_code == 200


def test_a_session_that_another_release_wrote_is_read_or_ends() -> None:
    browser = console()
    browser.cookies["taskyard_session"] = written({"csrf": "x", "name": "", "way": "", "later": "than this"})
    assert browser.get("/sign-in").status_code == 200
    browser.cookies["taskyard_session"] = written({"name": "mailer", "key": KEY})
    assert browser.get("/tasks").status_code == 303


def test_a_way_to_a_provider_neither_prolongs_a_session_nor_ends_it() -> None:
    browser = console(**PROVIDER)
    browser.cookies["__Host-taskyard_session"] = written(Session(name="mailer", key=KEY, way="link"))
    before = dict(browser.cookies)
    assert browser.get("/sign-in/return?code=x&state=y").headers["location"] == "/"
    assert browser.cookies["__Host-taskyard_session"] == before["__Host-taskyard_session"]
    assert browser.get("/tasks").status_code == 200


def test_a_form_of_a_session_that_has_ended_comes_back_with_what_was_typed() -> None:
    browser = Browser()
    browser.sign_in()
    browser.get("/tasks")
    del browser.cookies["taskyard_session"]
    page = browser.post("/tasks/selection", ids="1", note="<b>long text</b>", password="x")
    assert page.status_code == 403
    assert "&lt;b&gt;long text&lt;/b&gt;" in page.text
    assert 'action="/tasks/selection"' in page.text
    assert 'name="password"' not in page.text
    assert browser.api.changes() == []


def test_a_page_that_only_a_form_leads_to_is_not_where_a_choice_comes_back_to() -> None:
    browser = Browser(Api("admin"), console_path="/console")
    browser.get("/console/sign-in")
    browser.post("/console/sign-in", key=KEY)
    browser.get("/console/tasks")
    came_from = {"Referer": "http://console.test/console/keys?cursor=x"}
    page = browser.post("/console/keys/00000000-0000-0000-0000-000000000000/revoke", came_from, name="x")
    assert 'name="next" value="/keys?cursor=x"' in page.text


def test_the_browsers_word_that_a_form_is_ours_counts_where_a_proxy_changes_the_host() -> None:
    browser = Browser()
    browser.sign_in()
    browser.get("/tasks")
    headers = {"Sec-Fetch-Site": "same-origin", "Origin": "https://console.example"}
    assert browser.post("/tasks/00000000-0000-0000-0000-000000000000/cancel", headers).status_code == 303


def test_an_api_that_hangs_is_not_asked_again_for_the_page_that_says_so() -> None:
    asked = []

    def away(request: httpx2.Request) -> httpx2.Response:
        asked.append(request.url.path)
        raise httpx2.ReadTimeout("silent")

    browser = Browser(Api())
    browser.sign_in()
    silent = Browser(away, console_secrets=SECRET)  # type: ignore[arg-type]
    silent.cookies["taskyard_session"] = written(Session(name="mailer", key=KEY, way="key"))
    assert silent.get("/tasks").status_code == 503
    assert asked == ["/api/v1/key"] * 2, "once, and its retry"


def test_an_address_outside_of_ascii_leads_to_the_first_page() -> None:
    browser = Browser()
    browser.sign_in()
    assert browser.get("/sign-in?next=/\u0151").headers["location"] == "/"


def test_administrators_of_a_read_only_console_see_what_they_may_and_change_nothing() -> None:
    browser = Browser(Api("admin"), console_read_only=True)
    browser.sign_in()
    page = browser.get("/tasks").text
    assert 'href="/audit"' in page
    assert 'href="/keys"' in page
    assert browser.get("/tasks/00000000-0000-0000-0000-000000000000/change").status_code == 403


def test_signing_in_rightly_is_no_try() -> None:
    browser = Browser()
    for _ in range(15):
        browser.cookies.clear()
        assert browser.sign_in().status_code == 303


def test_passwords_are_checked_one_at_a_time_and_only_so_many_wait(
    password: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    running, most = [], []
    lock = threading.Lock()

    def slowly(self: Users, name: str, typed: str) -> None:
        with lock:
            running.append(name)
            most.append(len(running))
        threading.Event().wait(0.01)
        running.pop()

    monkeypatch.setattr(Users, "check", slowly)
    monkeypatch.setattr(passwords, "MOST_WAITING", 5)

    async def guess() -> list[Any]:
        checks = Checks(Users.read(f"anna:read:{password}"))
        return await asyncio.gather(*(checks.check("anna", "x") for _ in range(8)), return_exceptions=True)

    answers = asyncio.run(guess())
    assert max(most) == 1
    assert sum(isinstance(one, TooManyChecks) for one in answers) == 3


def basic(name: str, typed: str) -> dict[str, str]:
    import base64

    return {"Authorization": f"Basic {base64.b64encode(f'{name}:{typed}'.encode()).decode()}"}


def test_a_program_reads_pages_with_basic_authentication_and_changes_nothing_without_a_token(password: str) -> None:
    browser = console(console_users=f"anna:manage:{password}", console_api_key=OWN_KEY)
    page = browser.get("/tasks", **basic("anna", "battery"))
    assert page.status_code == 200
    browser.cookies.clear()
    sent = browser.post("/tasks/00000000-0000-0000-0000-000000000000/cancel", basic("anna", "battery"), csrf="x")
    assert (sent.status_code, browser.api.changes()) == (403, [])
    browser.cookies.clear()
    wrong: list[int] = []
    while len(wrong) < 100 and 429 not in wrong:  # a slow machine has more tries meanwhile
        wrong.append(browser.get("/tasks", **basic("anna", f"{len(wrong)}")).status_code)
    assert wrong[:10] == [401] * 10
    assert wrong[-1] == 429
    assert browser.get("/tasks", Authorization="Basic !!!=").status_code in {401, 429}


def test_nobody_is_asked_for_basic_authentication(password: str) -> None:
    browser = console(console_users=f"anna:manage:{password}", console_api_key=OWN_KEY)
    answer = browser.get("/tasks")
    assert answer.status_code == 303
    assert "www-authenticate" not in answer.headers

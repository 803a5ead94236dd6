"""Sessions, forms and redirects of the console: what may not be forged, and what nobody may be led to."""

from __future__ import annotations

from uuid import uuid4

import pytest

from taskyard_console.addresses import local
from taskyard_console.links import Links
from taskyard_console.passwords import Users, hashed
from taskyard_console.sessions import Session, Sessions, Vault

from .console_app import KEY, OWN_KEY, Api, Browser

TASK = f"/tasks/{uuid4()}"


def test_a_key_signs_in_and_leads_to_the_page_that_was_wanted() -> None:
    browser = Browser()
    wanted = browser.get("/tasks", Accept="text/html")
    assert (wanted.status_code, wanted.headers["location"]) == (303, "/sign-in?next=%2Ftasks")
    signed_in = browser.sign_in(next="/tasks")
    assert (signed_in.status_code, signed_in.headers["location"]) == (303, "/tasks")
    assert browser.get("/tasks").status_code == 200


def test_a_key_that_the_api_refuses_signs_nobody_in() -> None:
    browser = Browser()
    assert browser.sign_in("ty_unknown").status_code == 422
    assert browser.get("/tasks").status_code == 303


def test_the_session_cookie_is_kept_from_scripts_and_other_sites_and_tells_nothing() -> None:
    browser = Browser()
    cookie = browser.sign_in().cookies["taskyard_session"]
    assert (cookie["httponly"], cookie["samesite"], cookie["path"]) == (True, "Lax", "/")
    assert KEY not in cookie.value


@pytest.mark.parametrize(("path", "name"), [("", "__Host-taskyard_session"), ("/console", "__Secure-taskyard_session")])
def test_over_https_the_cookie_is_secure_and_bound_to_host_and_path(path: str, name: str) -> None:
    browser = Browser(console_path=path, trusted_proxies="127.0.0.1")
    answer = browser.get(f"{path}/sign-in", **{"X-Forwarded-Proto": "https"})
    assert (answer.cookies[name]["secure"], answer.cookies[name]["path"]) == (True, path or "/")


def test_an_altered_session_is_none() -> None:
    browser = Browser()
    browser.sign_in()
    browser.cookies["taskyard_session"] = browser.cookies["taskyard_session"][:-4] + "AAA="
    assert browser.get("/tasks").status_code == 303


def test_a_session_ends_with_its_life_and_is_valid_with_any_replica_of_the_same_secret() -> None:
    from datetime import timedelta

    from cryptography.fernet import Fernet

    now, key = [1_000_000], Fernet.generate_key().decode()
    made, other = (Sessions(Vault([key], clock=lambda: now[0]), timedelta(hours=1)) for _ in range(2))
    sealed = made.written(Session(name="anna", role="read"))
    assert other.read(sealed) == made.read(sealed)
    now[0] += 3601
    assert other.read(sealed) is None


def test_what_was_sealed_for_one_use_is_not_taken_for_another() -> None:
    from datetime import timedelta

    from cryptography.fernet import Fernet

    vault = Vault([Fernet.generate_key().decode()], clock=lambda: 1_000_000)
    sessions = Sessions(vault, timedelta(hours=1))
    assert sessions.read(Links(vault).make(KEY)) is None
    assert Links(vault).use(sessions.written(Session(name="anna", key=KEY))) is None


def test_a_revoked_key_ends_the_session() -> None:
    browser = Browser()
    browser.sign_in()
    browser.api.refuses = True
    answer = browser.get("/tasks")
    assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in?next=%2Ftasks")
    assert "taskyard_session" not in browser.cookies
    assert "There is no such API key." in browser.get("/sign-in").text


def test_a_form_without_the_token_of_the_session_changes_nothing() -> None:
    browser = Browser()
    browser.sign_in()
    browser.get("/tasks")
    assert browser.post(f"{TASK}/cancel", csrf="").status_code == 403
    other = Browser()
    other.sign_in()
    other.get("/tasks")
    assert browser.post(f"{TASK}/cancel", csrf=other.token).status_code == 403
    assert browser.api.changes() == []


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
    ],
)
def test_a_form_of_another_site_changes_nothing(headers: dict[str, str]) -> None:
    browser = Browser()
    browser.sign_in()
    browser.get("/tasks")
    assert browser.post(f"{TASK}/cancel", headers).status_code == 403
    assert browser.api.changes() == []


def test_a_form_of_our_own_page_makes_the_change() -> None:
    browser = Browser()
    browser.sign_in()
    browser.get("/tasks")
    headers = {"Sec-Fetch-Site": "same-origin", "Origin": "http://console.test"}
    assert browser.post(f"{TASK}/cancel", headers).headers["location"] == TASK
    assert [call.url.path for call in browser.api.changes()] == [f"/api/v1{TASK}/cancel"]


def test_signing_in_needs_a_token_too_and_gives_another_one() -> None:
    browser = Browser()
    browser.get("/sign-in")
    before = browser.token
    assert browser.post("/sign-in", key=KEY, csrf="x").status_code == 403
    browser.post("/sign-in", key=KEY)
    browser.get("/tasks")
    assert browser.token != before


@pytest.mark.parametrize(
    "address",
    [
        "//evil.example",
        "https://evil.example",
        "/\\evil.example",
        "\\/evil.example",
        "/\t/evil.example",
        "javascript:alert(1)",
        "evil",
        "",
        "/%0d%0aX: y\r\nSet-Cookie: a=b",
    ],
)
def test_a_sign_in_leads_to_pages_of_this_console_only(address: str) -> None:
    assert local(address) == "/"
    assert Browser().sign_in(next=address).headers["location"] == "/"


@pytest.fixture(scope="module")
def users() -> str:
    return f"anna:read:{hashed('correct horse')}\nbela:manage:{hashed('battery')}"


def with_users(users: str) -> Browser:
    return Browser(Api("admin"), console_users=users, console_api_key=OWN_KEY, console_sign_in_with_keys=False)


def test_a_password_signs_in_with_the_role_and_the_consoles_key_in_the_persons_name(users: str) -> None:
    browser = with_users(users)
    browser.get("/sign-in")
    assert browser.post("/sign-in", name="anna", password="battery").status_code == 422
    assert browser.post("/sign-in", name="nobody", password="battery").status_code == 422
    assert browser.post("/sign-in", name="bela", password="battery").status_code == 303
    browser.get("/tasks")
    browser.post(f"{TASK}/cancel")
    (change,) = browser.api.changes()
    assert change.headers["Authorization"] == f"Bearer {OWN_KEY}"
    assert change.headers["X-On-Behalf-Of"] == "bela"


def test_a_role_gives_no_more_than_it_says_though_the_consoles_key_could(users: str) -> None:
    browser = with_users(users)
    browser.get("/sign-in")
    browser.post("/sign-in", name="anna", password="correct horse")
    browser.get("/tasks")
    assert browser.post(f"{TASK}/cancel").status_code == 403
    assert browser.api.changes() == []


def test_a_way_that_is_switched_off_signs_nobody_in(users: str) -> None:
    browser = with_users(users)
    assert browser.sign_in(KEY).status_code == 422
    assert browser.get("/sign-in/provider").status_code == 404


def test_tries_are_limited_for_each_address() -> None:
    browser = Browser()
    browser.get("/sign-in")
    statuses = [browser.post("/sign-in", key="ty_wrong").status_code for _ in range(12)]
    assert set(statuses[:10]) == {422}
    assert statuses[-1] == 429


@pytest.mark.parametrize("line", ["anna", "anna:boss:$argon2id$x", "anna:read:plain", ":read:$argon2id$x"])
def test_a_wrong_line_of_users_is_named_without_what_it_holds(line: str) -> None:
    with pytest.raises(ValueError, match="line 1") as told:
        Users.read(line)
    assert "plain" not in str(told.value)


def test_a_link_signs_in_once_and_never_from_another_site() -> None:
    from cryptography.fernet import Fernet

    secret = Fernet.generate_key().decode()
    browser = Browser(console_secrets=secret)
    import time

    token = Links(Vault([secret], clock=lambda: int(time.time()))).make(KEY)
    there = f"/sign-in/link?token={token}"
    assert browser.get(there, **{"Sec-Fetch-Site": "cross-site"}).headers["location"] == "/sign-in"
    assert browser.get(there).headers["location"] == "/"
    assert browser.get("/tasks").status_code == 200
    other = Browser(console_secrets=secret)
    other.app = browser.app
    assert other.get(there).headers["location"] == "/sign-in"
    assert other.get("/tasks").status_code == 303


def test_every_page_forbids_inline_scripts_and_frames() -> None:
    browser = Browser()
    browser.sign_in()
    for path in ("/tasks", "/sign-in", "/nowhere"):
        policy = browser.get(path).headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy


def test_behind_a_path_every_address_begins_with_it() -> None:
    import re

    browser = Browser(console_path="/console")
    browser.get("/console/sign-in")
    assert browser.post("/console/sign-in", key=KEY, next="/tasks").headers["location"] == "/console/tasks"
    page = browser.get("/console/tasks").text
    addresses = re.findall(r'(?:href|src|action|data-live-from)="(/[^"]*)"', page)
    assert addresses
    assert [address for address in addresses if not address.startswith("/console")] == []

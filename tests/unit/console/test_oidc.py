"""Sign-in at a provider of OpenID Connect: one over HTTP, made of falcon and joserfc, that lies where it is told to."""

from __future__ import annotations

import base64
import hashlib
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit
from wsgiref.simple_server import WSGIRequestHandler, make_server

import falcon
import pytest
from joserfc import jwt
from joserfc.jwk import RSAKey

from .console_app import OWN_KEY, Api, Browser

KEY = RSAKey.generate_key(2048, parameters={"kid": "one", "alg": "RS256", "use": "sig"})
OTHER_KEY = RSAKey.generate_key(2048, parameters={"kid": "one", "alg": "RS256", "use": "sig"})


@dataclass
class Provider:
    """`lies`: claims that it tells instead of the right ones. `codes`: what it was asked with, by code."""

    url: str = ""
    groups: list[str] = field(default_factory=lambda: ["ops"])
    lies: dict[str, Any] = field(default_factory=dict)
    signs_with: RSAKey = field(default_factory=lambda: KEY)
    algorithm: str = "RS256"
    codes: dict[str, dict[str, str]] = field(default_factory=dict)

    def app(self) -> falcon.App[Any, Any]:
        app = falcon.App()
        app.add_route("/.well-known/openid-configuration", self, suffix="metadata")
        app.add_route("/keys", self, suffix="keys")
        app.add_route("/token", self, suffix="token")
        return app

    def authorize(self, address: str) -> str:
        """As a person who signs in there: the code that comes back."""
        asked = {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}
        code = f"code-{len(self.codes)}"
        self.codes[code] = asked
        return code

    def on_get_metadata(self, req: falcon.Request, resp: falcon.Response) -> None:
        places = {"authorization_endpoint": "authorize", "token_endpoint": "token", "jwks_uri": "keys"}
        resp.media = {"issuer": self.url, **{name: f"{self.url}/{path}" for name, path in places.items()}}

    def on_get_keys(self, req: falcon.Request, resp: falcon.Response) -> None:
        resp.media = {"keys": [KEY.as_dict(private=False)]}

    def on_post_token(self, req: falcon.Request, resp: falcon.Response) -> None:
        form = req.get_media()
        asked = self.codes.pop(form["code"], None)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(form["code_verifier"].encode()).digest()).decode()
        if asked is None or asked["code_challenge"] != challenge.rstrip("="):
            resp.status, resp.media = falcon.HTTP_400, {"error": "invalid_grant"}
            return
        now = int(time.time())
        claims = {
            "iss": self.url, "sub": "7", "aud": asked["client_id"], "iat": now, "exp": now + 60,
            "nonce": asked["nonce"], "preferred_username": "anna", "groups": self.groups,
        }  # fmt: skip
        told = {name: value for name, value in {**claims, **self.lies}.items() if value is not None}
        token = jwt.encode({"alg": self.algorithm, "kid": "one"}, told, self.signs_with, algorithms=[self.algorithm])
        resp.media = {"access_token": "unused", "token_type": "Bearer", "id_token": token}


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class names it so
        pass


@pytest.fixture
def provider() -> Iterator[Provider]:
    made = Provider()
    with make_server("127.0.0.1", 0, made.app(), handler_class=_Quiet) as server:
        made.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield made
        server.shutdown()
        thread.join(5)


def browser_of(provider: Provider, roles: str = "ops:manage,admins:admin") -> Browser:
    return Browser(
        Api("admin"),
        console_api_key=OWN_KEY,
        console_oidc_issuer=provider.url,
        console_oidc_client_id="taskyard",
        console_oidc_roles=roles,
    )


def begun(browser: Browser, provider: Provider, path: str = "/tasks") -> tuple[str, str]:
    """The code and the state that the provider sends back."""
    browser.get("/sign-in")
    there = browser.get(f"/sign-in/provider?next={path}").headers["location"]
    assert there.startswith(f"{provider.url}/authorize?")
    asked = parse_qs(urlsplit(there).query)
    assert asked["code_challenge_method"] == ["S256"]
    return provider.authorize(there), asked["state"][0]


def test_a_person_of_a_group_signs_in_with_its_role_and_lands_on_the_wanted_page(provider: Provider) -> None:
    browser = browser_of(provider)
    code, state = begun(browser, provider, "/tasks?state=failed")
    back = browser.get(f"/sign-in/return?code={code}&state={state}")
    assert back.headers["location"] == "/tasks?state=failed"
    page = browser.get("/tasks").text
    assert "anna" in page
    assert "manage, read, submit" in page


@pytest.mark.parametrize(
    ("groups", "roles", "gets_in"),
    [
        (["guests"], "ops:manage", False),
        ([], "ops:manage", False),
        (["guests"], "ops:manage,*:read", True),
        (["OPS"], "ops:manage", False),
    ],
)
def test_nobody_without_a_role_gets_in(groups: list[str], roles: str, gets_in: bool, provider: Provider) -> None:
    provider.groups = groups
    browser = browser_of(provider, roles)
    code, state = begun(browser, provider)
    browser.get(f"/sign-in/return?code={code}&state={state}")
    assert (browser.get("/tasks").status_code == 200) == gets_in


@pytest.mark.parametrize(
    "lies",
    [
        {"nonce": "another"},
        {"nonce": None},
        {"aud": "another-client"},
        {"iss": "https://evil.example"},
        {"exp": 1_000_000},
        {"sub": None},
    ],
    ids=lambda lies: "-".join(f"{name}={value}" for name, value in lies.items()),
)
def test_a_token_that_does_not_fit_signs_nobody_in(lies: dict[str, Any], provider: Provider) -> None:
    provider.lies = lies
    browser = browser_of(provider)
    code, state = begun(browser, provider)
    assert browser.get(f"/sign-in/return?code={code}&state={state}").headers["location"] == "/sign-in"
    assert browser.get("/tasks").status_code == 303


def test_a_token_of_another_key_signs_nobody_in(provider: Provider) -> None:
    provider.signs_with = OTHER_KEY
    browser = browser_of(provider)
    code, state = begun(browser, provider)
    assert browser.get(f"/sign-in/return?code={code}&state={state}").headers["location"] == "/sign-in"


def test_a_return_without_the_state_of_this_browser_signs_nobody_in(provider: Provider) -> None:
    browser, victim = browser_of(provider), browser_of(provider)
    victim.app = browser.app
    code, state = begun(browser, provider)
    for query in (f"code={code}&state=guessed", f"code={code}", f"state={state}", f"code={code}&state="):
        assert browser_copy(browser).get(f"/sign-in/return?{query}").headers["location"] == "/sign-in"
    victim.get("/sign-in")
    # What somebody began elsewhere does not sign another browser in.
    assert victim.get(f"/sign-in/return?code={code}&state={state}").headers["location"] == "/sign-in"


def browser_copy(browser: Browser) -> Browser:
    """With the cookies as they are now, which a failed return takes away."""
    other = Browser()
    other.app, other.cookies = browser.app, dict(browser.cookies)
    return other


def test_a_return_is_taken_once(provider: Provider) -> None:
    browser = browser_of(provider)
    code, state = begun(browser, provider)
    again = browser_copy(browser)
    browser.get(f"/sign-in/return?code={code}&state={state}")
    assert again.get(f"/sign-in/return?code={code}&state={state}").headers["location"] == "/sign-in"


def test_a_provider_that_is_away_is_said() -> None:
    browser = browser_of(Provider(url="http://127.0.0.1:9"))
    browser.get("/sign-in")
    answer = browser.get("/sign-in/provider")
    assert answer.headers["location"] == "/sign-in"
    assert "does not answer" in browser.get("/sign-in").text


@pytest.mark.parametrize(
    ("told", "shown"), [({"preferred_username": "an\u202ena\r\n"}, "anna"), ({"preferred_username": "\n"}, "7")]
)
def test_a_name_that_somebody_chose_for_himself_disorders_no_page(
    told: dict[str, Any], shown: str, provider: Provider
) -> None:
    provider.lies = told
    browser = browser_of(provider)
    code, state = begun(browser, provider)
    browser.get(f"/sign-in/return?code={code}&state={state}")
    assert f"<summary>{shown}</summary>" in browser.get("/tasks").text
    assert browser.post("/sign-out").headers["location"] == "/sign-in"


def test_nobody_is_signed_out_by_an_address_of_the_sign_in(provider: Provider) -> None:
    browser = browser_of(provider)
    code, state = begun(browser, provider)
    browser.get(f"/sign-in/return?code={code}&state={state}")
    for path in (f"/sign-in/return?code={code}&state={state}", "/sign-in/return", "/sign-in/provider"):
        assert browser.get(path).headers["location"] == "/"
    assert browser.get("/tasks").status_code == 200

"""/ and /docs: what this is, and its description as a page that needs nothing from elsewhere."""

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from taskyard.version import __version__
from tests.integration.api.conftest import Api

HTML = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


def test_the_root_says_what_this_is(api: Api) -> None:
    anonymous = api.client(None)
    told = anonymous.get("/").json()
    assert (told["name"], told["version"]) == ("Taskyard", __version__)
    page = anonymous.get("/", headers=HTML)
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "Accept" in page.headers["Vary"]
    assert __version__ in page.text
    for name in ("docs", "openapi", "live", "ready"):
        assert anonymous.get(told[name], headers=HTML if name == "docs" else {}).status_code == 200
        assert f'href="{told[name].lstrip("/")}"' in page.text
    assert anonymous.get("/", headers={"Accept": "image/png"}).status_code == 406


def test_the_page_of_the_description_loads_nothing_from_elsewhere(api: Api) -> None:
    anonymous = api.client(None)
    page = anonymous.get("/docs", headers=HTML)
    loaded = re.findall(r'(?:src|href)="([^"]*)"', page.text)
    assert len(loaded) == 4
    for path in loaded:
        if path == "data:,":
            continue
        assert "//" not in path
        file = anonymous.get(f"/{path}")
        assert file.status_code == 200, path
        unchanged = anonymous.get(f"/{path}", headers={"If-None-Match": file.headers["ETag"]})
        assert (unchanged.status_code, unchanged.content) == (304, b"")
        for answer in (page, file):
            policy = answer.headers["Content-Security-Policy"]
            assert policy.startswith("default-src 'none'; script-src 'self';")
            assert "http" not in policy
    assert anonymous.get("/docs/__init__.py").status_code == 404
    assert anonymous.get("/docs/..%2Fhome.html").status_code == 404


def test_the_page_of_the_description_can_be_switched_off(start_api: Callable[..., Api]) -> None:
    anonymous = start_api(api_docs=False).client(None)
    for path in ("/docs", "/docs/start.js"):
        assert anonymous.get(path).status_code == 404
    assert "docs" not in anonymous.get("/").json()
    assert "docs" not in anonymous.get("/", headers=HTML).text
    assert anonymous.get("/openapi.json").status_code == 200


@pytest.mark.system
@pytest.mark.slow
def test_a_browser_shows_the_description(api: Api, tmp_path: Path) -> None:
    chromium = shutil.which("chromium")
    assert chromium is not None, "make system-deps"
    # With one operation unfolded.
    shown = subprocess.run(
        [
            *(chromium, "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr"),
            *(f"--user-data-dir={tmp_path}", "--window-size=1200,1600", f"--screenshot={tmp_path}/docs.png"),
            *("--virtual-time-budget=20000", "--dump-dom", f"{api.url}/docs#/tasks/post_tasks"),
        ],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    for path in api.http.get("/openapi.json").json()["paths"]:
        assert f'data-path="{path}"' in shown.stdout, path
    assert "Idempotency-Key" in shown.stdout, "the operation is unfolded"
    assert "Content Security Policy" not in shown.stderr, "nothing on the page is refused by its policy"

"""What deploy/smoke.sh asks of the console: somebody signs in with an API key and looks at every page of the menu.
Standard library only.

    SMOKE_KEY=ty_... python3 deploy/smoke_console.py http://127.0.0.1:8100/console

Exit code 1 and one line on standard error: a page is not there.
"""

from __future__ import annotations

import os
import re
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from http.cookiejar import CookieJar

_PATIENCE_SECONDS = 30
_CSRF = re.compile(r'name="csrf" value="([^"]+)"')
_MENU = re.compile(r'<a href="([^"]+)" data-key=')


class Broken(Exception):
    """A promise was not kept."""


class Browser:
    def __init__(self, address: str) -> None:
        self._address = address.rstrip("/")
        self._opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(CookieJar()))

    def read(self, address: str, form: dict[str, str] | None = None) -> str:
        """The page. Raises Broken where there is none."""
        body = None if form is None else urllib.parse.urlencode(form).encode()
        where = urllib.parse.urljoin(f"{self._address}/", address)
        try:
            with self._opener.open(where, body, timeout=_PATIENCE_SECONDS) as answer:
                text: str = answer.read().decode()
                return text
        except (OSError, ValueError) as e:
            said = e.read().decode()[:300] if isinstance(e, urllib.error.HTTPError) else ""
            raise Broken(f"{where}: {type(e).__name__}: {e} {said}") from e


def main() -> int:
    (address,) = sys.argv[1:]
    browser = Browser(address)
    try:
        token = _CSRF.search(browser.read("sign-in"))
        if token is None:
            raise Broken("the page to sign in has no form")
        first = browser.read("sign-in", {"csrf": token[1], "key": os.environ["SMOKE_KEY"]})
        menu = dict.fromkeys(_MENU.findall(first))
        if len(menu) < 10:
            raise Broken(f"the menu of an administrator has {len(menu)} pages")
        slowest = 0.0
        for page in menu:
            began = time.monotonic()
            browser.read(page)
            slowest = max(slowest, time.monotonic() - began)
    except Broken as e:
        sys.stderr.write(f"{e}\n")
        return 1
    sys.stdout.write(f"signed in with the key; {len(menu)} pages, the slowest after {slowest * 1000:.0f} ms\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

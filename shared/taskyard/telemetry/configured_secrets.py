"""What an error's text must not show of the settings: keys, tokens, the passwords in addresses."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from pydantic import SecretStr

from ..settings_groups import KitSettings

MASK = "***"
_USER = re.compile(r"://[^/\s]*@")
_SECRET_PARTS = {"password", "sslpassword"}
# Shorter ones would strike out parts of ordinary words.
_SHORTEST = 4


class Strike:
    """Strikes out the secrets of these settings, and whatever stands before an address's host."""

    def __init__(self, settings: KitSettings) -> None:
        texts = {text for text in _secrets_of(settings) if len(text) >= _SHORTEST}
        # The longest first: one may be part of another.
        self._secrets = sorted(texts, key=lambda text: (-len(text), text))

    def __call__(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, MASK)
        return _USER.sub(f"://{MASK}@", text)


def _secrets_of(settings: KitSettings) -> Iterator[str]:
    for name, field in type(settings).model_fields.items():
        for value in _flat(getattr(settings, name)):
            if isinstance(value, str) and field.repr:
                continue
            text = value if isinstance(value, str) else value.get_secret_value()
            yield from _in_address(text) if "://" in text else (text,)


def _flat(value: Any) -> Iterable[SecretStr | str]:
    values = value if isinstance(value, tuple) else (value,)
    return [one for one in values if isinstance(one, SecretStr | str)]


def _in_address(address: str) -> Iterator[str]:
    url = urlsplit(address)
    if url.password:
        yield from {url.password, unquote(url.password)}
    yield from (value for name, value in parse_qsl(url.query) if name.lower() in _SECRET_PARTS)

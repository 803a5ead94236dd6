"""HTTP servers that the operator sets (Ollama, LiteLLM, Stripe): their addresses, one bounded request, and the words
for a missing answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, SecretStr

from taskyard import RateLimited, TaskError
from taskyard.catalogue.words import Words
from taskyard.outbound import client
from taskyard.outbound.client import Answer, Bounds, Unanswered
from taskyard.outbound.networks import ANY
from taskyard.outbound.retry_after import retry_after
from taskyard.outbound.urls import read_url

# Of the reason of a missing answer.
PHRASES: dict[str, Words] = {
    "server_unresolved": {
        "en": "the name of the host is not known",
        "de": "der Name des Rechners ist nicht bekannt",
        "fr": "le nom de l'hôte est inconnu",
        "hu": "a gép neve nem ismert",
    },
    "server_unreachable": {
        "en": "there is no connection",
        "de": "es kommt keine Verbindung zustande",
        "fr": "la connexion ne s'établit pas",
        "hu": "nem jön létre kapcsolat",
    },
    "server_tls": {
        "en": "the certificate is not valid",
        "de": "das Zertifikat ist nicht gültig",
        "fr": "le certificat n'est pas valide",
        "hu": "a tanúsítvány nem érvényes",
    },
    "server_slow": {
        "en": "it takes too long",
        "de": "es dauert zu lange",
        "fr": "cela prend trop de temps",
        "hu": "túl sokáig tart",
    },
    "server_broken": {
        "en": "the connection ended before the answer, or the answer is not HTTP",
        "de": "die Verbindung endete vor der Antwort, oder die Antwort ist kein HTTP",
        "fr": "la connexion a pris fin avant la réponse, ou la réponse n'est pas du HTTP",
        "hu": "a kapcsolat a válasz előtt megszakadt, vagy a válasz nem HTTP",
    },
    "server_redirects": {
        "en": "the address redirects to another one",
        "de": "die Adresse leitet zu einer anderen um",
        "fr": "l'adresse redirige vers une autre",
        "hu": "a cím átirányít egy másikra",
    },
}


def _checked_address(text: str) -> str:
    """The address without a slash at its end. Raises ValueError."""
    if "?" in text or "#" in text:
        raise ValueError("must be an address without a query: https://host:port")
    read_url(text)
    return text.rstrip("/")


def _checked_key(key: SecretStr) -> SecretStr:
    """Raises ValueError, which does not quote it, for what no header can hold."""
    text = key.get_secret_value()
    if not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError("must be printable ASCII without blanks")
    return key


ServerAddress = Annotated[str, AfterValidator(_checked_address)]
ServerKey = Annotated[SecretStr, AfterValidator(_checked_key)]


async def ask(
    method: str,
    url: str,
    *,
    unanswered: str,
    bounds: Bounds,
    headers: Mapping[str, str] | None = None,
    content: bytes = b"",
    **values: Any,
) -> Answer:
    """The answer, whatever its status. Raises TaskError with the code `unanswered`, the `values`, and a `reason` that
    is one of PHRASES."""
    try:
        return await client.request(
            method, read_url(url), networks=ANY, headers=headers, content=content, bounds=bounds
        )
    except Unanswered as e:
        raise TaskError(unanswered, reason={"phrase": f"server_{e.reason}"}, **values) from None


def rate_limit(answer: Answer, code: str, **values: Any) -> RateLimited | None:
    """The error for an answer that asks for fewer calls, with the time that it names: a 429, and a 503 that names one.
    None for any other answer."""
    after = retry_after(answer.headers.get("retry-after")) if answer.status in {429, 503} else None
    if answer.status == 429 or after is not None:
        return RateLimited(code, after=after, **values)
    return None

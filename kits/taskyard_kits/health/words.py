"""What people are told of what a check found; mail and the providers of models have words of their own."""

from __future__ import annotations

from taskyard.catalogue.words import Vocabulary, Words
from taskyard_kits.mail import words as mail
from taskyard_kits.models import words as models

OWN: dict[str, Words] = {
    "check_slow": {
        "en": "There was no answer within {seconds} s.",
        "de": "Es kam innerhalb von {seconds} s keine Antwort.",
        "fr": "Il n'y a pas eu de réponse en {seconds} s.",
        "hu": "Nem jött válasz {seconds} másodpercen belül.",
    },
    "redis_silent": {
        "en": "Redis does not answer.",
        "de": "Redis antwortet nicht.",
        "fr": "Redis ne répond pas.",
        "hu": "A Redis nem válaszol.",
    },
    "postgresql_silent": {
        "en": "PostgreSQL does not answer.",
        "de": "PostgreSQL antwortet nicht.",
        "fr": "PostgreSQL ne répond pas.",
        "hu": "A PostgreSQL nem válaszol.",
    },
    # The reasons are phrases of the platform.
    "storage_unavailable": {
        "en": "The files cannot be reached: {reason}.",
        "de": "Die Dateien sind nicht erreichbar: {reason}.",
        "fr": "Les fichiers ne sont pas accessibles : {reason}.",
        "hu": "A fájlok nem érhetők el: {reason}.",
    },
    "check_failed": {
        "en": "The check failed with {error}.",
        "de": "Die Prüfung ist mit {error} gescheitert.",
        "fr": "La vérification a échoué avec {error}.",
        "hu": "Az ellenőrzés {error} hibával meghiúsult.",
    },
}
ERRORS: dict[str, Words] = {
    **{code: words for code, words in mail.ERRORS.items() if code.startswith("smtp_")},
    **models.OF_PROVIDERS,
    **OWN,
}
WORDS = Vocabulary(ERRORS, {**mail.PHRASES, **models.PHRASES})

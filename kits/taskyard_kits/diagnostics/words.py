"""What people are told of the errors of diagnostics.fail."""

from __future__ import annotations

from taskyard.catalogue.words import Words

FAIL_ERRORS: dict[str, Words] = {
    "diagnostic_transient": {
        "en": "This drill fails on purpose; a later attempt will succeed.",
        "de": "Diese Übung schlägt absichtlich fehl; ein späterer Versuch wird gelingen.",
        "fr": "Cet exercice échoue exprès ; un essai ultérieur réussira.",
        "hu": "Ez a gyakorlat szándékosan sikertelen; egy későbbi próbálkozás sikerülni fog.",
    },
    "diagnostic_permanent": {
        "en": "This drill fails on purpose, and for good.",
        "de": "Diese Übung schlägt absichtlich fehl, und zwar endgültig.",
        "fr": "Cet exercice échoue exprès, et pour de bon.",
        "hu": "Ez a gyakorlat szándékosan és véglegesen sikertelen.",
    },
}

"""Why a value from a stranger's JSON becomes no record, in words: `record_` and one of `record_values.REASONS`."""

from __future__ import annotations

from taskyard.catalogue.words import Words

RECORD_PHRASES: dict[str, Words] = {
    "record_json": {
        "en": "it is not JSON",
        "de": "das ist kein JSON",
        "fr": "ce n'est pas du JSON",
        "hu": "nem JSON",
    },
    "record_number": {
        "en": "a number has more than 64 bits",
        "de": "eine Zahl hat mehr als 64 Bit",
        "fr": "un nombre dépasse 64 bits",
        "hu": "egy szám 64 bitnél hosszabb",
    },
    "record_text": {
        "en": "a text has characters that cannot be stored",
        "de": "ein Text hat Zeichen, die nicht gespeichert werden können",
        "fr": "un texte contient des caractères qui ne peuvent pas être enregistrés",
        "hu": "egy szövegben nem tárolható karakterek vannak",
    },
    "record_too_large": {
        "en": "it has more than 128 KiB",
        "de": "das sind mehr als 128 KiB",
        "fr": "cela dépasse 128 Kio",
        "hu": "128 KiB-nál hosszabb",
    },
    "record_depth": {
        "en": "lists and objects are nested more than 200 deep",
        "de": "Listen und Objekte sind mehr als 200-fach verschachtelt",
        "fr": "des listes et des objets sont imbriqués sur plus de 200 niveaux",
        "hu": "a listák és objektumok 200 szintnél mélyebben vannak egymásba ágyazva",
    },
    "record_key_missing": {
        "en": "the key is missing",
        "de": "der Schlüssel fehlt",
        "fr": "la clé manque",
        "hu": "hiányzik a kulcs",
    },
    "record_key_unusable": {
        "en": "the key is neither a text of 800 bytes at most nor a whole number",
        "de": "der Schlüssel ist weder ein Text von höchstens 800 Bytes noch eine ganze Zahl",
        "fr": "la clé n'est ni un texte de 800 octets au plus ni un nombre entier",
        "hu": "a kulcs nem legfeljebb 800 bájtos szöveg és nem egész szám",
    },
    "record_not_an_object": {
        "en": "it is not a JSON object",
        "de": "das ist kein JSON-Objekt",
        "fr": "ce n'est pas un objet JSON",
        "hu": "nem JSON-objektum",
    },
}

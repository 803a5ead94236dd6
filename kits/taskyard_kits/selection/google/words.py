"""What people are told of the errors of Google Sheets. Those of the library, `spreadsheet_*` and others, have their
words beside its other codes."""

from __future__ import annotations

from taskyard.catalogue.words import Words
from taskyard_kits.selection.sheet_words import SHEET_ERRORS
from taskyard_kits.selection.table_words import TABLE_ERRORS
from taskyard_kits.stored_files import ERRORS as STORED_FILE_ERRORS

ERRORS: dict[str, Words] = {
    "gsheet_not_configured": {
        "en": "Google Sheets is not set up here. Ask the operator to set TASKYARD_SELECTION_GOOGLE_KEY_FILE.",
        "de": "Google Tabellen ist hier nicht eingerichtet. Bitten Sie den Betreiber,"
        " TASKYARD_SELECTION_GOOGLE_KEY_FILE zu setzen.",
        "fr": "Google Sheets n'est pas configuré ici. Demandez à l'exploitant de définir"
        " TASKYARD_SELECTION_GOOGLE_KEY_FILE.",
        "hu": "A Google Táblázatok itt nincs beállítva. Kérje meg az üzemeltetőt, hogy adja meg a"
        " TASKYARD_SELECTION_GOOGLE_KEY_FILE beállítást.",
    },
    "gsheet_key_unusable": {
        "en": "The key file of the service account is missing or is no key. Ask the operator to look at"
        " TASKYARD_SELECTION_GOOGLE_KEY_FILE.",
        "de": "Die Schlüsseldatei des Dienstkontos fehlt oder ist kein Schlüssel. Bitten Sie den Betreiber,"
        " TASKYARD_SELECTION_GOOGLE_KEY_FILE zu prüfen.",
        "fr": "Le fichier de clé du compte de service manque ou n'est pas une clé. Demandez à l'exploitant de vérifier"
        " TASKYARD_SELECTION_GOOGLE_KEY_FILE.",
        "hu": "A szolgáltatásfiók kulcsfájlja hiányzik, vagy nem kulcs. Kérje meg az üzemeltetőt, hogy ellenőrizze a"
        " TASKYARD_SELECTION_GOOGLE_KEY_FILE beállítást.",
    },
    "gsheet_login_refused": {
        "en": "Google does not accept the key of {email}. Ask the operator to check that the key is still valid, and"
        " the clock of the server.",
        "de": "Google nimmt den Schlüssel von {email} nicht an. Bitten Sie den Betreiber, zu prüfen, ob der Schlüssel"
        " noch gültig ist und ob die Uhr des Servers stimmt.",
        "fr": "Google n'accepte pas la clé de {email}. Demandez à l'exploitant de vérifier que la clé est encore"
        " valable, ainsi que l'horloge du serveur.",
        "hu": "A Google nem fogadja el {email} kulcsát. Kérje meg az üzemeltetőt, hogy ellenőrizze, érvényes-e még a"
        " kulcs, és jól jár-e a kiszolgáló órája.",
    },
    "gsheet_api_disabled": {
        "en": "In the Google Cloud project of the service account, the Google Sheets API or the Google Drive API is not"
        " enabled. Ask the operator to enable both.",
        "de": "Im Google-Cloud-Projekt des Dienstkontos ist die Google Sheets API oder die Google Drive API nicht"
        " aktiviert. Bitten Sie den Betreiber, beide zu aktivieren.",
        "fr": "Dans le projet Google Cloud du compte de service, l'API Google Sheets ou l'API Google Drive n'est pas"
        " activée. Demandez à l'exploitant d'activer les deux.",
        "hu": "A szolgáltatásfiók Google Cloud-projektjében nincs engedélyezve a Google Sheets API vagy a Google Drive"
        " API. Kérje meg az üzemeltetőt, hogy engedélyezze mindkettőt.",
    },
    "gsheet_rate_limited": {
        "en": "Google asks for fewer calls. The task is tried again when Google allows it.",
        "de": "Google bittet um weniger Aufrufe. Es wird wieder versucht, sobald Google es erlaubt.",
        "fr": "Google demande moins d'appels. Un nouvel essai aura lieu dès que Google le permet.",
        "hu": "A Google kevesebb hívást kér. Újra próbálkozunk, amint a Google engedi.",
    },
    "gsheet_unavailable": {
        "en": "Google does not answer as it should: {reason}. The task is tried again; if it keeps failing, ask the"
        " operator.",
        "de": "Google antwortet nicht, wie es sollte: {reason}. Es wird wieder versucht; bleibt es dabei, fragen Sie"
        " den Betreiber.",
        "fr": "Google ne répond pas comme il le devrait : {reason}. Un nouvel essai aura lieu ; si cela persiste,"
        " adressez-vous à l'exploitant.",
        "hu": "A Google nem úgy válaszol, ahogy kellene: {reason}. Újra próbálkozunk; ha továbbra sem sikerül,"
        " forduljon az üzemeltetőhöz.",
    },
    "gsheet_too_large": {
        "en": "The tab holds more than {limit} MiB. Leave out the columns that are not needed, or divide it.",
        "de": "Das Tabellenblatt enthält mehr als {limit} MiB. Lassen Sie Spalten weg, die nicht gebraucht werden, oder"
        " teilen Sie es auf.",
        "fr": "L'onglet contient plus de {limit} Mio. Retirez les colonnes inutiles, ou divisez-le.",
        "hu": "A lap több mint {limit} MiB adatot tartalmaz. Hagyja ki a szükségtelen oszlopokat, vagy ossza fel.",
    },
    "gsheet_request_refused": {
        "en": "Google refused the request: “{answer}”. Correct the spreadsheet, and run the task again.",
        "de": "Google hat die Anfrage abgelehnt: „{answer}“. Berichtigen Sie die Tabelle, und starten Sie die Aufgabe"
        " neu.",
        "fr": "Google a refusé la demande : « {answer} ». Corrigez la feuille de calcul, et relancez la tâche.",
        "hu": "A Google elutasította a kérést: „{answer}”. Javítsa ki a táblázatot, és indítsa újra a feladatot.",
    },
    "gsheet_last_tab": {
        "en": "No visible tab would be left in the spreadsheet, and Google keeps one. Add a tab, and run the task"
        " again.",
        "de": "In der Tabelle bliebe kein sichtbares Tabellenblatt, und eines muss bleiben. Fügen Sie eines hinzu, und"
        " starten Sie die Aufgabe neu.",
        "fr": "Il ne resterait aucun onglet visible dans la feuille de calcul, et Google en exige un. Ajoutez un"
        " onglet, et relancez la tâche.",
        "hu": "A táblázatban nem maradna látható lap, pedig egynek maradnia kell. Adjon hozzá egy lapot, és indítsa"
        " újra a feladatot.",
    },
}

# Codes of the library, with its words.
_SHEET = ("spreadsheet_not_found", "spreadsheet_not_shared", "spreadsheet_read_only", "not_native_gsheet")

# What a tab may be told of by `tables.of_lists`.
TABLE_CODES = (
    "table_empty",
    "table_without_header",
    "table_ragged",
    "table_too_many_rows",
    "table_too_many_columns",
    "table_cell_too_long",
)

TAB_ERRORS: dict[str, Words] = {**ERRORS, **{code: SHEET_ERRORS[code] for code in _SHEET}}
LOAD_ERRORS: dict[str, Words] = {
    **STORED_FILE_ERRORS,
    **TAB_ERRORS,
    "tab_not_found": SHEET_ERRORS["tab_not_found"],
    **{code: TABLE_ERRORS[code] for code in TABLE_CODES},
}

PHRASES: dict[str, Words] = {
    "tab": {
        "en": "the tab",
        "de": "dem Tabellenblatt",
        "fr": "l'onglet",
        "hu": "a lap",
    },
    "gsheet_unresolved": {
        "en": "the name of its host is not known",
        "de": "der Name seines Rechners ist nicht bekannt",
        "fr": "le nom de son hôte est inconnu",
        "hu": "a gépének neve nem ismert",
    },
    "gsheet_unreachable": {
        "en": "there is no connection to it",
        "de": "es kommt keine Verbindung zustande",
        "fr": "la connexion ne s'établit pas",
        "hu": "nem jön létre kapcsolat",
    },
    "gsheet_tls": {
        "en": "its certificate is not valid",
        "de": "sein Zertifikat ist nicht gültig",
        "fr": "son certificat n'est pas valide",
        "hu": "a tanúsítványa nem érvényes",
    },
    "gsheet_slow": {
        "en": "it takes too long",
        "de": "es dauert zu lange",
        "fr": "la réponse tarde trop",
        "hu": "túl sokáig tart",
    },
    "gsheet_broken": {
        "en": "the connection ended before the answer, or the answer cannot be read",
        "de": "die Verbindung endete vor der Antwort, oder die Antwort ist nicht lesbar",
        "fr": "la connexion a pris fin avant la réponse, ou la réponse est illisible",
        "hu": "a kapcsolat a válasz előtt megszakadt, vagy a válasz nem olvasható",
    },
    "gsheet_redirects": {
        "en": "it redirects to another address",
        "de": "es leitet an eine andere Adresse um",
        "fr": "il redirige vers une autre adresse",
        "hu": "más címre irányít át",
    },
}

"""What people are told of the errors of data.sync, and the values in them that are phrases."""

from __future__ import annotations

from taskyard.catalogue.words import Words
from taskyard_kits.record_words import RECORD_PHRASES

ERRORS: dict[str, Words] = {
    "sync_address": {
        "en": "This address cannot be called, or becomes longer than 2,048 characters with the cursor. Check `url`.",
        "de": "Diese Adresse kann nicht aufgerufen werden, oder sie wird mit dem Cursor länger als 2048 Zeichen. Prüfen"
        " Sie `url`.",
        "fr": "Cette adresse ne peut pas être appelée, ou dépasse 2 048 caractères avec le curseur. Vérifiez `url`.",
        "hu": "Ez a cím nem hívható, vagy a kurzorral együtt 2048 karakternél hosszabb. Ellenőrizze az `url` értékét.",
    },
    "sync_address_refused": {
        "en": "The address is not public. Give a public one, or ask the operator to allow its network in"
        " TASKYARD_OUTBOUND_NETWORKS.",
        "de": "Die Adresse ist nicht öffentlich. Geben Sie eine öffentliche an, oder bitten Sie den Betreiber, ihr Netz"
        " in TASKYARD_OUTBOUND_NETWORKS zu erlauben.",
        "fr": "L'adresse n'est pas publique. Donnez-en une qui l'est, ou demandez à l'exploitant d'autoriser son réseau"
        " dans TASKYARD_OUTBOUND_NETWORKS.",
        "hu": "A cím nem nyilvános. Adjon meg nyilvános címet, vagy kérje meg az üzemeltetőt, hogy engedélyezze a"
        " hálózatát a TASKYARD_OUTBOUND_NETWORKS beállításban.",
    },
    "sync_redirected": {
        "en": "The other system redirects to another address. Give that one as `url`.",
        "de": "Das andere System leitet an eine andere Adresse um. Geben Sie diese als `url` an.",
        "fr": "L'autre système redirige vers une autre adresse. Indiquez celle-ci dans `url`.",
        "hu": "A másik rendszer másik címre irányít át. Azt adja meg `url` értékként.",
    },
    "sync_unanswered": {
        "en": "The other system did not answer: {reason}. It is tried again; if that goes on, check `url`.",
        "de": "Das andere System hat nicht geantwortet: {reason}. Es wird wieder versucht; bleibt es dabei, prüfen Sie"
        " `url`.",
        "fr": "L'autre système n'a pas répondu : {reason}. Un nouvel essai aura lieu ; si cela persiste, vérifiez"
        " `url`.",
        "hu": "A másik rendszer nem válaszolt: {reason}. Újra próbálkozunk; ha továbbra sem sikerül, ellenőrizze az"
        " `url` értékét.",
    },
    "sync_unavailable": {
        "en": "The other system answered with the status {status}. It is tried again; if that goes on, ask its"
        " operator.",
        "de": "Das andere System hat mit dem Status {status} geantwortet. Es wird wieder versucht; bleibt es dabei,"
        " fragen Sie seinen Betreiber.",
        "fr": "L'autre système a répondu avec le statut {status}. Un nouvel essai aura lieu ; si cela persiste,"
        " adressez-vous à son exploitant.",
        "hu": "A másik rendszer {status} állapottal válaszolt. Újra próbálkozunk; ha továbbra sem sikerül, forduljon"
        " az üzemeltetőjéhez.",
    },
    "sync_rate_limited": {
        "en": "The other system asks for fewer calls (status {status}). The sync goes on after the pause that it asks"
        " for.",
        "de": "Das andere System bittet um weniger Aufrufe (Status {status}). Die Synchronisierung geht nach der Pause"
        " weiter, um die es bittet.",
        "fr": "L'autre système demande moins d'appels (statut {status}). La synchronisation reprendra après la pause"
        " qu'il demande.",
        "hu": "A másik rendszer kevesebb hívást kér ({status} állapot). A szinkronizálás a kért szünet után"
        " folytatódik.",
    },
    "sync_not_authorised": {
        "en": "The other system refused the token (status {status}). Give one that may read these records.",
        "de": "Das andere System hat das Token abgelehnt (Status {status}). Geben Sie eines an, das diese Datensätze"
        " lesen darf.",
        "fr": "L'autre système a refusé le jeton (statut {status}). Donnez-en un qui puisse lire ces enregistrements.",
        "hu": "A másik rendszer elutasította a tokent ({status} állapot). Adjon meg olyat, amely olvashatja ezeket a"
        " rekordokat.",
    },
    "sync_refused": {
        "en": "The other system refused the call with the status {status}. Check `url` and the other parameters.",
        "de": "Das andere System hat den Aufruf mit dem Status {status} abgelehnt. Prüfen Sie `url` und die anderen"
        " Parameter.",
        "fr": "L'autre système a refusé l'appel avec le statut {status}. Vérifiez `url` et les autres paramètres.",
        "hu": "A másik rendszer {status} állapottal elutasította a hívást. Ellenőrizze az `url` értékét és a többi"
        " paramétert.",
    },
}

ERRORS |= {
    "sync_page_too_large": {
        "en": "A page has more than {items} items or {limit} MiB. Ask for smaller ones with `page_size`.",
        "de": "Eine Seite hat mehr als {items} Einträge oder {limit} MiB. Bitten Sie mit `page_size` um kleinere.",
        "fr": "Une page compte plus de {items} éléments ou {limit} Mio. Demandez-en de plus petites avec `page_size`.",
        "hu": "Egy oldal {items} elemnél vagy {limit} MiB-nál nagyobb. Kérjen kisebbeket a `page_size` paraméterrel.",
    },
    "sync_page_invalid": {
        "en": "A page cannot be read: {reason}. Check `items_field`, `cursor_field` and `paging`.",
        "de": "Eine Seite kann nicht gelesen werden: {reason}. Prüfen Sie `items_field`, `cursor_field` und `paging`.",
        "fr": "Une page ne peut pas être lue : {reason}. Vérifiez `items_field`, `cursor_field` et `paging`.",
        "hu": "Egy oldal nem olvasható: {reason}. Ellenőrizze az `items_field`, a `cursor_field` és a `paging`"
        " értékét.",
    },
    "sync_item_invalid": {
        "en": "Item {number} of a page becomes no record: {reason}. Check `key_field`, or set `max_invalid_items`; the"
        " pages before it are synced.",
        "de": "Eintrag {number} einer Seite wird kein Datensatz: {reason}. Prüfen Sie `key_field`, oder setzen Sie"
        " `max_invalid_items`; die Seiten davor sind synchronisiert.",
        "fr": "L'élément {number} d'une page ne donne pas d'enregistrement : {reason}. Vérifiez `key_field`, ou"
        " indiquez `max_invalid_items` ; les pages précédentes sont synchronisées.",
        "hu": "Egy oldal {number}. eleméből nem lesz rekord: {reason}. Ellenőrizze a `key_field` értékét, vagy adja meg"
        " a `max_invalid_items` értékét; az előtte lévő oldalak szinkronizálása megtörtént.",
    },
    "sync_cursor_refused": {
        "en": "The other system refused a cursor that it gave (status {status}). It may have expired: set `full` to"
        " true to begin with the first page.",
        "de": "Das andere System hat einen Cursor abgelehnt, den es gegeben hat (Status {status}). Er kann abgelaufen"
        " sein: Setzen Sie `full` auf true, um mit der ersten Seite zu beginnen.",
        "fr": "L'autre système a refusé un curseur qu'il avait donné (statut {status}). Il a peut-être expiré : mettez"
        " `full` à true pour commencer par la première page.",
        "hu": "A másik rendszer elutasított egy kurzort, amelyet ő adott ({status} állapot). Lehet, hogy lejárt:"
        " állítsa a `full` értékét true-ra, hogy az első oldallal kezdje.",
    },
    "sync_empty_pages": {
        "en": "The other system gave {pages} pages without items one after another, each with a cursor of a next one."
        " Check `items_field`, or ask its operator.",
        "de": "Das andere System hat {pages} Seiten ohne Einträge nacheinander gegeben, jede mit dem Cursor einer"
        " nächsten. Prüfen Sie `items_field`, oder fragen Sie seinen Betreiber.",
        "fr": "L'autre système a donné {pages} pages sans élément à la suite, chacune avec le curseur d'une suivante."
        " Vérifiez `items_field`, ou adressez-vous à son exploitant.",
        "hu": "A másik rendszer egymás után {pages} olyan oldalt adott, amelyen nincs elem, de van rajta a következő"
        " oldal kurzora. Ellenőrizze az `items_field` értékét, vagy forduljon az üzemeltetőjéhez.",
    },
    "sync_cursor_repeats": {
        "en": "After {pages} pages the other system names a page as the next one that it has given before. Check"
        " `cursor_param`, or ask its operator.",
        "de": "Nach {pages} Seiten nennt das andere System eine Seite als die nächste, die es schon gegeben hat. Prüfen"
        " Sie `cursor_param`, oder fragen Sie seinen Betreiber.",
        "fr": "Après {pages} pages, l'autre système désigne comme suivante une page qu'il a déjà donnée. Vérifiez"
        " `cursor_param`, ou adressez-vous à son exploitant.",
        "hu": "A másik rendszer {pages} oldal után olyan oldalt nevez meg következőként, amelyet már adott."
        " Ellenőrizze a `cursor_param` értékét, vagy forduljon az üzemeltetőjéhez.",
    },
    "sync_other_origin": {
        "en": "The next page is on another host, to which the token may not go. Ask the operator of the other system.",
        "de": "Die nächste Seite liegt auf einem anderen Rechner, an den das Token nicht gehen darf. Fragen Sie den"
        " Betreiber des anderen Systems.",
        "fr": "La page suivante se trouve sur un autre hôte, auquel le jeton ne doit pas parvenir. Adressez-vous à"
        " l'exploitant de l'autre système.",
        "hu": "A következő oldal másik gépen van, amely nem kaphatja meg a tokent. Forduljon a másik rendszer"
        " üzemeltetőjéhez.",
    },
    "sync_busy": {
        "en": "Another task syncs the same address into the same collection. It is tried again in a minute; if that"
        " goes on, wait for the end of the other task or cancel it.",
        "de": "Eine andere Aufgabe synchronisiert dieselbe Adresse in dieselbe Sammlung. In einer Minute wird es wieder"
        " versucht; bleibt es dabei, warten Sie das Ende der anderen Aufgabe ab, oder brechen Sie sie ab.",
        "fr": "Une autre tâche synchronise la même adresse dans la même collection. Un nouvel essai aura lieu dans une"
        " minute ; si cela persiste, attendez la fin de l'autre tâche ou annulez-la.",
        "hu": "Egy másik feladat ugyanezt a címet ugyanebbe a gyűjteménybe szinkronizálja. Egy perc múlva újra"
        " próbálkozunk; ha továbbra sem sikerül, várja meg a másik feladat végét, vagy szakítsa meg.",
    },
    "sync_overtaken": {
        "en": "Another task syncs the same address into the same collection. It is tried again; let only one do it.",
        "de": "Eine andere Aufgabe synchronisiert dieselbe Adresse in dieselbe Sammlung. Es wird wieder versucht;"
        " lassen Sie das nur eine tun.",
        "fr": "Une autre tâche synchronise la même adresse dans la même collection. Un nouvel essai aura lieu ; n'en"
        " laissez qu'une le faire.",
        "hu": "Egy másik feladat ugyanezt a címet ugyanebbe a gyűjteménybe szinkronizálja. Újra próbálkozunk; csak egy"
        " végezze ezt.",
    },
}

PHRASES: dict[str, Words] = {
    **RECORD_PHRASES,
    "page_json": RECORD_PHRASES["record_json"],
    "page_number": RECORD_PHRASES["record_number"],
    "page_encoding": {
        "en": "it is compressed, which was not asked for",
        "de": "sie ist komprimiert, worum nicht gebeten wurde",
        "fr": "elle est compressée, ce qui n'était pas demandé",
        "hu": "tömörítve van, pedig ezt nem kértük",
    },
    "page_no_items": {
        "en": "it has no list of items",
        "de": "es gibt keine Liste von Einträgen",
        "fr": "elle n'a pas de liste d'éléments",
        "hu": "nincs benne elemlista",
    },
    "page_cursor": {
        "en": "the cursor of the next page is unusable",
        "de": "der Cursor der nächsten Seite ist unbrauchbar",
        "fr": "le curseur de la page suivante est inutilisable",
        "hu": "a következő oldal kurzora használhatatlan",
    },
    "sync_unresolved": {
        "en": "the name of its host is not known",
        "de": "der Name seines Rechners ist nicht bekannt",
        "fr": "le nom de son hôte est inconnu",
        "hu": "a gépének neve nem ismert",
    },
    "sync_unreachable": {
        "en": "there is no connection to it",
        "de": "es kommt keine Verbindung zustande",
        "fr": "la connexion ne s'établit pas",
        "hu": "nem jön létre kapcsolat",
    },
    "sync_tls": {
        "en": "its certificate is not valid",
        "de": "sein Zertifikat ist nicht gültig",
        "fr": "son certificat n'est pas valide",
        "hu": "a tanúsítványa nem érvényes",
    },
    "sync_slow": {
        "en": "it takes too long",
        "de": "es braucht zu lange",
        "fr": "il met trop de temps",
        "hu": "túl sokáig tart",
    },
    "sync_broken": {
        "en": "the connection ended before the answer, or the answer is not HTTP",
        "de": "die Verbindung endete vor der Antwort, oder die Antwort ist kein HTTP",
        "fr": "la connexion a pris fin avant la réponse, ou la réponse n'est pas du HTTP",
        "hu": "a kapcsolat a válasz előtt megszakadt, vagy a válasz nem HTTP",
    },
}

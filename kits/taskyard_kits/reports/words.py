"""What people are told of the errors of reports.*."""

from __future__ import annotations

from taskyard.catalogue.words import Words

ERRORS: dict[str, Words] = {
    "report_period_empty": {
        "en": "The report's period ends before it begins. Choose a `from` that lies before `to`.",
        "de": "Der Zeitraum des Berichts endet, bevor er beginnt. Wählen Sie ein `from`, das vor `to` liegt.",
        "fr": "La période du rapport finit avant de commencer. Choisissez un `from` antérieur à `to`.",
        "hu": "A jelentés időszaka előbb ér véget, mint kezdődik. Adjon meg olyan `from` értéket, amely korábbi, mint a"
        " `to`.",
    },
    "report_period_too_long": {
        "en": "A report covers {days} days at most. Choose a shorter period.",
        "de": "Ein Bericht umfasst höchstens {days} Tage. Wählen Sie einen kürzeren Zeitraum.",
        "fr": "Un rapport couvre {days} jours au plus. Choisissez une période plus courte.",
        "hu": "Egy jelentés legfeljebb {days} napot fedhet le. Válasszon rövidebb időszakot.",
    },
    "report_period_unreadable": {
        "en": "The report's period must lie in the years 1970 to 8999. Correct `from` and `to`.",
        "de": "Der Zeitraum des Berichts muss in den Jahren 1970 bis 8999 liegen. Berichtigen Sie `from` und `to`.",
        "fr": "La période du rapport doit se situer entre les années 1970 et 8999. Corrigez `from` et `to`.",
        "hu": "A jelentés időszakának az 1970 és 8999 közötti évekbe kell esnie. Javítsa a `from` és a `to` értékét.",
    },
    "report_too_slow": {
        "en": "The database took too long for every part of the report. Choose a shorter period, or try again when the"
        " database is less busy.",
        "de": "Die Datenbank brauchte für jeden Teil des Berichts zu lange. Wählen Sie einen kürzeren Zeitraum, oder"
        " versuchen Sie es erneut, wenn die Datenbank weniger ausgelastet ist.",
        "fr": "La base de données a mis trop de temps pour chaque partie du rapport. Choisissez une période plus"
        " courte, ou réessayez quand la base de données est moins chargée.",
        "hu": "Az adatbázis a jelentés minden részéhez túl sok időt igényelt. Válasszon rövidebb időszakot, vagy"
        " próbálja újra, amikor az adatbázis kevésbé terhelt.",
    },
    "unknown_timezone": {
        "en": "There is no time zone {timezone}. Choose an IANA name, such as Europe/Berlin.",
        "de": "Eine Zeitzone {timezone} gibt es nicht. Wählen Sie einen IANA-Namen, etwa Europe/Berlin.",
        "fr": "Il n'y a pas de fuseau horaire {timezone}. Choisissez un nom IANA, par exemple Europe/Paris.",
        "hu": "Nincs {timezone} időzóna. Adjon meg IANA-nevet, például Europe/Budapest.",
    },
}

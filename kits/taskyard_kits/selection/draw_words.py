"""What people are told of draws that fail in ways for which the library has no code."""

from __future__ import annotations

from taskyard.catalogue.words import Words

DRAW_ERRORS: dict[str, Words] = {
    "infeasible_quotas_cant_relax": {
        "en": "No panel can meet the targets, not even within min_flex and max_flex. Widen these columns, change the"
        " targets, or add people.",
        "de": "Kein Panel kann die Zielvorgaben erfüllen, auch nicht innerhalb von min_flex und max_flex. Erweitern Sie"
        " diese Spalten, ändern Sie die Zielvorgaben, oder fügen Sie Personen hinzu.",
        "fr": "Aucun panel ne peut atteindre les objectifs, même dans les limites de min_flex et max_flex. Élargissez"
        " ces colonnes, changez les objectifs, ou ajoutez des personnes.",
        "hu": "Egyetlen testület sem felelhet meg a célértékeknek, a min_flex és max_flex határain belül sem. Bővítse"
        " ezeket az oszlopokat, módosítsa a célértékeket, vagy adjon hozzá személyeket.",
    },
    "infeasible_addresses": {
        "en": "No panel with at most one person of an address can meet the targets, not even within min_flex and"
        " max_flex. Add people at other addresses, select fewer, or switch check_same_address off.",
        "de": "Kein Panel mit höchstens einer Person je Adresse kann die Zielvorgaben erfüllen, auch nicht innerhalb"
        " von min_flex und max_flex. Fügen Sie Personen mit anderen Adressen hinzu, wählen Sie weniger aus, oder"
        " schalten Sie check_same_address aus.",
        "fr": "Aucun panel avec une personne au plus par adresse ne peut atteindre les objectifs, même dans les limites"
        " de min_flex et max_flex. Ajoutez des personnes à d'autres adresses, sélectionnez-en moins, ou désactivez"
        " check_same_address.",
        "hu": "Címenként legfeljebb egy személlyel egyetlen testület sem felelhet meg a célértékeknek, a min_flex és"
        " max_flex határain belül sem. Adjon hozzá más címen lakó személyeket, válasszon ki kevesebbet, vagy kapcsolja"
        " ki a check_same_address beállítást.",
    },
    "legacy_without_spare_people": {
        "en": "The legacy algorithm needs more people of a value than its min, and of these there are no more:"
        " {values}. Use another algorithm, such as maximin, lower these min, or add people.",
        "de": "Das Verfahren legacy braucht von einem Wert mehr Personen als sein min, und von diesen gibt es nicht"
        " mehr: {values}. Verwenden Sie ein anderes Verfahren wie maximin, senken Sie diese min, oder fügen Sie"
        " Personen hinzu.",
        "fr": "L'algorithme legacy demande plus de personnes d'une valeur que son min, et pour celles-ci il n'y en a"
        " pas plus : {values}. Utilisez un autre algorithme, tel que maximin, baissez ces min, ou ajoutez des"
        " personnes.",
        "hu": "A legacy algoritmusnak egy értékből a min értékénél több személy kell, ezekből pedig nincs több:"
        " {values}. Használjon másik algoritmust, például a maximint, csökkentse e min értékeket, vagy adjon hozzá"
        " személyeket.",
    },
    "selection_failed": {
        "en": "There are panels that meet the targets, but legacy found none in {attempts} attempts. Raise"
        " max_attempts, or use another algorithm, such as maximin.",
        "de": "Es gibt Panels, die die Zielvorgaben erfüllen, aber legacy hat in {attempts} Versuchen keines gefunden."
        " Erhöhen Sie max_attempts, oder verwenden Sie ein anderes Verfahren wie maximin.",
        "fr": "Des panels qui atteignent les objectifs existent, mais legacy n'en a trouvé aucun en {attempts} essais."
        " Augmentez max_attempts, ou utilisez un autre algorithme, tel que maximin.",
        "hu": "Van olyan testület, amely megfelel a célértékeknek, de a legacy {attempts} próbálkozás alatt egyet sem"
        " talált. Növelje a max_attempts értékét, vagy használjon másik algoritmust, például a maximint.",
    },
    "solver_failed": {
        "en": "The solver found no panel: {reason} Try another algorithm, or wider targets.",
        "de": "Der Löser hat kein Panel gefunden: {reason} Versuchen Sie ein anderes Verfahren oder weitere"
        " Zielvorgaben.",
        "fr": "Le solveur n'a trouvé aucun panel : {reason} Essayez un autre algorithme, ou des objectifs plus larges.",
        "hu": "A megoldó nem talált testületet: {reason} Próbáljon másik algoritmust vagy tágabb célértékeket.",
    },
    "draw_needs_memory": {
        "en": "Drawing this panel takes more than the {limit} MiB of memory that it may have. Use the legacy"
        " algorithm, draw from fewer people, or ask the operator to raise TASKYARD_SELECTION_MEMORY_MIB.",
        "de": "Dieses Panel auszulosen braucht mehr als die {limit} MiB Speicher, die es haben darf. Nehmen Sie das"
        " Verfahren legacy, losen Sie aus weniger Personen, oder bitten Sie den Betreiber,"
        " TASKYARD_SELECTION_MEMORY_MIB zu erhöhen.",
        "fr": "Tirer ce panel demande plus que les {limit} Mio de mémoire permis. Prenez l'algorithme legacy, tirez"
        " parmi"
        " moins de personnes, ou demandez à l'exploitant d'augmenter TASKYARD_SELECTION_MEMORY_MIB.",
        "hu": "A testület kisorsolásához több kell, mint a megengedett {limit} MiB memória. Válassza a legacy"
        " algoritmust,"
        " sorsoljon kevesebb személyből, vagy kérje az üzemeltetőt, hogy növelje a TASKYARD_SELECTION_MEMORY_MIB"
        " értékét.",
    },
    "draw_died": {
        "en": "The process that drew the panel ended: {cause}. The task is tried again; if it keeps failing, ask"
        " the operator.",
        "de": "Der Prozess, der das Panel ausloste, endete: {cause}. Es wird wieder versucht; bleibt es dabei, fragen"
        " Sie den Betreiber.",
        "fr": "Le processus qui tirait le panel s'est terminé : {cause}. Un nouvel essai aura lieu ; si cela persiste,"
        " adressez-vous à l'exploitant.",
        "hu": "A testületet sorsoló folyamat véget ért: {cause}. Újra próbálkozunk; ha továbbra is ez történik,"
        " forduljon"
        " az üzemeltetőhöz.",
    },
    "draw_failed": {
        "en": "Drawing the panel failed with an unexpected error: {reason}. Try another algorithm, or ask the"
        " operator.",
        "de": "Die Auslosung ist an einem unerwarteten Fehler gescheitert: {reason}. Versuchen Sie ein anderes"
        " Verfahren, oder fragen Sie den Betreiber.",
        "fr": "Le tirage a échoué sur une erreur inattendue : {reason}. Essayez un autre algorithme, ou adressez-vous à"
        " l'exploitant.",
        "hu": "A sorsolás váratlan hibával meghiúsult: {reason}. Próbáljon másik algoritmust, vagy forduljon az"
        " üzemeltetőhöz.",
    },
}

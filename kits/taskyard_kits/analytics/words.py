"""What people are told of the errors of analytics.*."""

from __future__ import annotations

from taskyard.catalogue.words import Words

ERRORS: dict[str, Words] = {
    "hours_not_summed": {
        "en": "Hours that could not be summed up: {hours}, the first of them {first}; the others are done. The log of"
        " the task says why. Remove the cause, then try the task again.",
        "de": "Stunden, die nicht summiert werden konnten: {hours}, die erste davon {first}; die übrigen sind fertig."
        " Das Protokoll der Aufgabe nennt den Grund. Beheben Sie ihn, und wiederholen Sie dann die Aufgabe.",
        "fr": "Heures qui n'ont pas pu être totalisées : {hours}, dont la première {first} ; les autres sont faites. Le"
        " journal de la tâche en dit la raison. Éliminez-la, puis relancez la tâche.",
        "hu": "Nem összesíthető órák száma: {hours}, közülük az első: {first}; a többi elkészült. Az okot a feladat"
        " naplója tartalmazza. Szüntesse meg, majd futtassa újra a feladatot.",
    },
}

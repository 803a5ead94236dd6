"""What people are told of the errors of maintenance.*. The reasons of `storage_unavailable` are phrases of the
platform."""

from __future__ import annotations

from taskyard.catalogue.words import Words
from taskyard_kits.stored_files import ERRORS as STORED_FILE_ERRORS

CACHE_ERRORS: dict[str, Words] = {
    "cache_unavailable": {
        "en": "Redis does not answer, so expired entries stay. It is tried again; if that goes on, look at"
        " TASKYARD_CACHE_URL and TASKYARD_REDIS_URL.",
        "de": "Redis antwortet nicht, deshalb bleiben abgelaufene Einträge liegen. Es wird wieder versucht; bleibt es"
        " dabei, prüfen Sie TASKYARD_CACHE_URL und TASKYARD_REDIS_URL.",
        "fr": "Redis ne répond pas, les entrées expirées restent donc. Un nouvel essai aura lieu ; si cela persiste,"
        " vérifiez TASKYARD_CACHE_URL et TASKYARD_REDIS_URL.",
        "hu": "A Redis nem válaszol, ezért a lejárt bejegyzések megmaradnak. Újra próbálkozunk; ha továbbra sem"
        " sikerül, ellenőrizze a TASKYARD_CACHE_URL és a TASKYARD_REDIS_URL beállítást.",
    },
}
CHANGE_ERRORS: dict[str, Words] = {
    "operation_not_asked": {
        "en": "Only POST /operations may submit this task.",
        "de": "Diese Aufgabe darf nur POST /operations einreichen.",
        "fr": "Seul POST /operations peut soumettre cette tâche.",
        "hu": "Ezt a feladatot csak a POST /operations hívás küldheti be.",
    },
    "operation_goes_on": {
        "en": "The time of this attempt was over after {changed} tasks. The next attempt goes on with the rest.",
        "de": "Die Zeit dieses Versuchs war nach {changed} Aufgaben um. Der nächste Versuch macht mit den übrigen"
        " weiter.",
        "fr": "Le temps de cet essai était écoulé après {changed} tâches. L'essai suivant continue avec le reste.",
        "hu": "Ennek a kísérletnek {changed} feladat után letelt az ideje. A következő kísérlet a többivel folytatja.",
    },
}
ARCHIVE_ERRORS: dict[str, Words] = {
    "storage_unavailable": STORED_FILE_ERRORS["storage_unavailable"],
    "archive_damaged": {
        "en": "The file of the archive is not what was written, and none of its other tasks is deleted. Restore the"
        " item {item_id} from a backup, or delete it: its tasks that are still there are then archived anew.",
        "de": "Die Datei des Archivs ist nicht, was geschrieben wurde, und keine weitere ihrer Aufgaben wird gelöscht."
        " Stellen Sie das Element {item_id} aus einer Sicherung wieder her, oder löschen Sie es: Die Aufgaben, die noch"
        " da sind, werden dann neu archiviert.",
        "fr": "Le fichier de l'archive n'est pas ce qui a été écrit, et aucune autre de ses tâches n'est supprimée."
        " Restaurez l'élément {item_id} depuis une sauvegarde, ou supprimez-le : les tâches encore présentes seront"
        " alors archivées de nouveau.",
        "hu": "Az archívum fájlja nem az, amit kiírtunk, és további feladatai nem törlődnek. Állítsa vissza a(z)"
        " {item_id} elemet biztonsági mentésből, vagy törölje: a még meglévő feladatok ekkor újra archiválódnak.",
    },
}

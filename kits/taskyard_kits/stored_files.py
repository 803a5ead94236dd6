"""Stored files as tasks read them: what may be seen, and the storage's errors in words."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO
from uuid import UUID

from taskyard import TaskContext, TaskError
from taskyard.catalogue.words import Words
from taskyard.domain.retry import VALIDATION
from taskyard.storage.interface import ObjectMissing, StorageUnavailable
from taskyard.store import tree_items
from taskyard.store.tree_items import TreeItem

FINAL = VALIDATION.of("item_not_found", "file_missing", "file_damaged")
# The reasons of `storage_unavailable` are phrases of the platform.
ERRORS: dict[str, Words] = {
    "item_not_found": {
        "en": "There is no stored file with this id. It may have been deleted: upload it again.",
        "de": "Es gibt keine gespeicherte Datei mit dieser Id. Vielleicht wurde sie gelöscht: Laden Sie sie neu hoch.",
        "fr": "Il n'y a pas de fichier enregistré avec cet identifiant. Il a peut-être été supprimé : téléversez-le"
        " de nouveau.",
        "hu": "Nincs ilyen azonosítójú tárolt fájl. Lehet, hogy törölték: töltse fel újra.",
    },
    "file_missing": {
        "en": "The content of this file is gone. Upload it again.",
        "de": "Der Inhalt dieser Datei ist nicht mehr da. Laden Sie sie neu hoch.",
        "fr": "Le contenu de ce fichier a disparu. Téléversez-le de nouveau.",
        "hu": "A fájl tartalma már nincs meg. Töltse fel újra.",
    },
    "file_damaged": {
        "en": "The content of this file is not complete. Upload it again.",
        "de": "Der Inhalt dieser Datei ist nicht vollständig. Laden Sie sie neu hoch.",
        "fr": "Le contenu de ce fichier n'est pas complet. Téléversez-le de nouveau.",
        "hu": "A fájl tartalma nem teljes. Töltse fel újra.",
    },
    "storage_unavailable": {
        "en": "The files cannot be reached now: {reason}. It is tried again; if that goes on, ask the operator.",
        "de": "Die Dateien sind jetzt nicht erreichbar: {reason}. Es wird wieder versucht; bleibt es dabei, fragen"
        " Sie den Betreiber.",
        "fr": "Les fichiers ne sont pas accessibles pour l'instant : {reason}. Un nouvel essai aura lieu ; si cela"
        " persiste, adressez-vous à l'exploitant.",
        "hu": "A fájlok most nem érhetők el: {reason}. Újra próbálkozunk; ha továbbra sem sikerül, forduljon az"
        " üzemeltetőhöz.",
    },
}


def find(context: TaskContext, item_id: UUID) -> TreeItem:
    """The item, where the key that submitted the task may see it. Raises TaskError `item_not_found`."""
    owner = tree_items.owner_seen(context.submitted_by, context.allowed_queues)
    with context.db() as conn:
        item = tree_items.get(conn, [item_id], owner=owner).get(item_id)
    if item is None:
        raise not_found()
    return item


def not_found() -> TaskError:
    return TaskError("item_not_found", retryable=False)


@contextmanager
def opened(context: TaskContext, item: TreeItem) -> Iterator[BinaryIO]:
    with storage_errors(), context.storage.open(item.storage_key) as file:
        yield file


@contextmanager
def storage_errors() -> Iterator[None]:
    """The storage's errors as the task's."""
    try:
        yield
    except ObjectMissing as e:
        raise TaskError("file_missing", retryable=False) from e
    except StorageUnavailable as e:
        raise TaskError("storage_unavailable", reason={"phrase": e.phrase} if e.phrase else str(e)) from e

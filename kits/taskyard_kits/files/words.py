"""What people are told of the errors of files.*. The reasons of `storage_unavailable` are phrases of the platform."""

from __future__ import annotations

from taskyard.catalogue.words import Words

STORED_FILE_ERRORS: dict[str, Words] = {
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

IMAGE_ERRORS: dict[str, Words] = {
    "image_unsupported": {
        "en": "This file is not an image that can be read here. Use JPEG, PNG, WebP, GIF, TIFF or BMP.",
        "de": "Diese Datei ist kein Bild, das hier gelesen werden kann. Nehmen Sie JPEG, PNG, WebP, GIF, TIFF oder"
        " BMP.",
        "fr": "Ce fichier n'est pas une image qui puisse être lue ici. Utilisez JPEG, PNG, WebP, GIF, TIFF ou BMP.",
        "hu": "Ez a fájl nem olyan kép, amely itt olvasható. Használjon JPEG, PNG, WebP, GIF, TIFF vagy BMP"
        " formátumot.",
    },
    "image_too_large": {
        "en": "The image has more than {limit} million pixels. Use a smaller one.",
        "de": "Das Bild hat mehr als {limit} Millionen Pixel. Nehmen Sie ein kleineres.",
        "fr": "L'image compte plus de {limit} millions de pixels. Utilisez-en une plus petite.",
        "hu": "A kép több mint {limit} millió képpontból áll. Használjon kisebbet.",
    },
    "image_needs_memory": {
        "en": "Decoding this image takes more memory than there is for it here ({limit} MiB). Use a smaller one, or ask"
        " the operator.",
        "de": "Dieses Bild zu dekodieren braucht mehr Speicher, als es hier dafür gibt ({limit} MiB). Nehmen Sie ein"
        " kleineres, oder fragen Sie den Betreiber.",
        "fr": "Décoder cette image demande plus de mémoire qu'il n'y en a ici pour cela ({limit} Mio). Utilisez-en une"
        " plus petite, ou adressez-vous à l'exploitant.",
        "hu": "A kép dekódolásához több memória kell, mint amennyi itt erre rendelkezésre áll ({limit} MiB). Használjon"
        " kisebbet, vagy forduljon az üzemeltetőhöz.",
    },
    "image_damaged": {
        "en": "The image is damaged or not complete. Upload it again.",
        "de": "Das Bild ist beschädigt oder nicht vollständig. Laden Sie es neu hoch.",
        "fr": "L'image est endommagée ou incomplète. Téléversez-la de nouveau.",
        "hu": "A kép sérült vagy nem teljes. Töltse fel újra.",
    },
}

"""What people are told of the errors of files.*. The reasons of `storage_unavailable` are phrases of the platform."""

from __future__ import annotations

from taskyard.catalogue.words import Words
from taskyard_kits.stored_files import ERRORS as STORED_FILE_ERRORS

__all__ = ["AGE_ERRORS", "IMAGE_ERRORS", "STORED_FILE_ERRORS"]

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

AGE_ERRORS: dict[str, Words] = {
    "age_too_short": {
        "en": "Files are kept for {days} days at least (FILE_CLEANUP_MAX_AGE_DAYS of the worker). Give a higher age, or"
        " none.",
        "de": "Dateien werden mindestens {days} Tage aufgehoben (FILE_CLEANUP_MAX_AGE_DAYS des Workers). Geben Sie ein"
        " höheres Alter an oder keines.",
        "fr": "Les fichiers sont conservés {days} jours au moins (FILE_CLEANUP_MAX_AGE_DAYS du worker). Donnez un âge"
        " plus élevé, ou aucun.",
        "hu": "A fájlok legalább {days} napig megmaradnak (a worker FILE_CLEANUP_MAX_AGE_DAYS beállítása). Adjon meg"
        " nagyobb kort, vagy ne adjon meg semmit.",
    },
}

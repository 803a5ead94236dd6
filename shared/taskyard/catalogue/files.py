"""Work on stored files."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from pydantic import Field

from .formats import PatternText
from .types import Params, Result, TaskType
from .words import Words

MAX_SIDE = 4096
MAX_MATCHED_BYTES = 1024**2


class ProcessLargeFileParams(Params):
    item_id: UUID
    pattern: PatternText | None = Field(
        default=None,
        description="A regular expression in RE2's syntax (no backreferences, no lookaround; \\d, \\s and \\w mean"
        " ASCII, \\pL any letter) that is looked for in every line; anchor it with ^ and $ to match whole lines."
        " Lines longer than 1 MiB do not match.",
        examples=[r"^\S+ \d{3} "],
    )


class ProcessLargeFileResult(Result):
    """Lines end with a line feed; a last line without one counts, too.

    `wc -l` counts line feeds: it shows `processed_lines`, or one less where `last_line_unterminated`.
    """

    processed_lines: int
    blank_lines: int = Field(description="Lines of nothing but white space (ASCII).")
    bytes: int
    invalid_lines: int = Field(
        description="Lines that are not UTF-8, or in which the pattern is not found (longer than 1 MiB: never)."
    )
    invalid_line_numbers: list[int] = Field(description="The first ten of them, counted from 1.")
    last_line_unterminated: bool = False


class GenerateThumbnailParams(Params):
    item_id: UUID
    width: Annotated[int, Field(ge=1, le=MAX_SIDE)] = 256
    height: Annotated[int, Field(ge=1, le=MAX_SIDE)] = 256


class GenerateThumbnailResult(Result):
    """The thumbnail fits into width x height, keeps the proportions, and is never larger than its source."""

    item_id: UUID
    parent_id: UUID
    name: str
    content_type: str
    width: int
    height: int
    size: int


# What people are told of the errors. The reasons of `storage_unavailable` are phrases of the platform.
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
    "image_damaged": {
        "en": "The image is damaged or not complete. Upload it again.",
        "de": "Das Bild ist beschädigt oder nicht vollständig. Laden Sie es neu hoch.",
        "fr": "L'image est endommagée ou incomplète. Téléversez-la de nouveau.",
        "hu": "A kép sérült vagy nem teljes. Töltse fel újra.",
    },
}


PROCESS_LARGE_FILE = TaskType(
    name="files.process_large_file",
    description="Reads a stored file line by line and counts its lines, blank lines and invalid lines.",
    params=ProcessLargeFileParams,
    result=ProcessLargeFileResult,
    errors=STORED_FILE_ERRORS,
)

GENERATE_THUMBNAIL = TaskType(
    name="files.generate_thumbnail",
    description="Makes a small upright copy of a stored image, as a new tree item.",
    params=GenerateThumbnailParams,
    result=GenerateThumbnailResult,
    errors={**STORED_FILE_ERRORS, **IMAGE_ERRORS},
)

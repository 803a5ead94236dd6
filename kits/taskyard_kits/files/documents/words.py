"""What people are told of the errors of files.convert_document."""

from __future__ import annotations

from taskyard.catalogue.words import Words

DOCUMENT_ERRORS: dict[str, Words] = {
    "document_format": {
        "en": "The name of this file does not say what it is. Give `format`: markdown, html or docx.",
        "de": "Der Name dieser Datei sagt nicht, was sie ist. Geben Sie `format` an: markdown, html oder docx.",
        "fr": "Le nom de ce fichier ne dit pas ce qu'il est. Indiquez `format` : markdown, html ou docx.",
        "hu": "A fájl nevéből nem derül ki, hogy mi ez. Adja meg a `format` értékét: markdown, html vagy docx.",
    },
    "document_encoding": {
        "en": "The document is not in UTF-8. Save it in UTF-8 and upload it again.",
        "de": "Das Dokument ist nicht in UTF-8 kodiert. Speichern Sie es in UTF-8, und laden Sie es neu hoch.",
        "fr": "Le document n'est pas encodé en UTF-8. Enregistrez-le en UTF-8 et téléversez-le de nouveau.",
        "hu": "A dokumentum kódolása nem UTF-8. Mentse UTF-8 kódolással, és töltse fel újra.",
    },
    "document_too_large": {
        "en": "The document takes more memory or time than there is for it here. Split it, or make its images smaller.",
        "de": "Das Dokument braucht mehr Speicher oder Zeit, als es hier dafür gibt. Teilen Sie es auf, oder"
        " verkleinern Sie seine Bilder.",
        "fr": "Le document demande plus de mémoire ou de temps qu'il n'y en a ici pour cela. Divisez-le, ou réduisez"
        " ses images.",
        "hu": "A dokumentumhoz több memória vagy idő kell, mint amennyi itt erre rendelkezésre áll. Ossza fel, vagy"
        " kicsinyítse le a képeit.",
    },
    "document_too_deep": {
        "en": "The document has more than 49 lists or 98 quotes in one another. Make them flatter.",
        "de": "Im Dokument stehen mehr als 49 Listen oder 98 Zitate ineinander. Machen Sie sie flacher.",
        "fr": "Le document a plus de 49 listes ou 98 citations imbriquées. Réduisez leur profondeur.",
        "hu": "A dokumentumban 49-nél több lista vagy 98-nál több idézet van egymásba ágyazva. Csökkentse a mélységet.",
    },
    "document_entities": {
        "en": "The document defines XML entities, as no word processor does. Save it again in Word or LibreOffice.",
        "de": "Das Dokument definiert XML-Entitäten, was kein Textprogramm tut. Speichern Sie es in Word oder"
        " LibreOffice neu.",
        "fr": "Le document définit des entités XML, ce qu'aucun traitement de texte ne fait. Enregistrez-le de nouveau"
        " dans Word ou LibreOffice.",
        "hu": "A dokumentum XML-entitásokat határoz meg, amit egyetlen szövegszerkesztő sem tesz. Mentse újra Wordben"
        " vagy LibreOffice-ban.",
    },
    "document_damaged": {
        "en": "The file is no document that can be read here, or it is damaged. Save it again and upload it.",
        "de": "Die Datei ist kein Dokument, das hier gelesen werden kann, oder sie ist beschädigt. Speichern Sie sie"
        " neu, und laden Sie sie hoch.",
        "fr": "Le fichier n'est pas un document lisible ici, ou il est endommagé. Enregistrez-le de nouveau et"
        " téléversez-le.",
        "hu": "A fájl nem itt olvasható dokumentum, vagy sérült. Mentse el újra, és töltse fel.",
    },
}

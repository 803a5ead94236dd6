"""What people are told of the library's codes about tabs of spreadsheets."""

from __future__ import annotations

from taskyard.catalogue.words import Words

_WRONG_CELLS = {
    "en": "In the tab “{tab_name}” there are wrong cells. Correct them and run the task again.",
    "de": "In dem Tabellenblatt „{tab_name}“ stehen falsche Zellen. Berichtigen Sie sie, und starten Sie die Aufgabe"
    " neu.",
    "fr": "Dans l'onglet « {tab_name} », il y a des cellules incorrectes. Corrigez-les, et relancez la tâche.",
    "hu": "A(z) „{tab_name}” lapon hibás cellák vannak. Javítsa ki őket, és indítsa újra a feladatot.",
}

SHEET_ERRORS: dict[str, Words] = {
    "spreadsheet_not_found": {
        "en": "There is no Google spreadsheet {spreadsheet_name}. Check its id.",
        "de": "Es gibt keine Google-Tabelle {spreadsheet_name}. Prüfen Sie ihre Id.",
        "fr": "Il n'y a pas de feuille de calcul Google {spreadsheet_name}. Vérifiez son identifiant.",
        "hu": "Nincs ilyen Google-táblázat: {spreadsheet_name}. Ellenőrizze az azonosítóját.",
    },
    "spreadsheet_not_shared": {
        "en": "The Google spreadsheet {spreadsheet_name} is not shared with {service_account_email}. Share it with that"
        " address.",
        "de": "Die Google-Tabelle {spreadsheet_name} ist nicht für {service_account_email} freigegeben. Geben Sie sie"
        " für"
        " diese Adresse frei.",
        "fr": "La feuille de calcul Google {spreadsheet_name} n'est pas partagée avec {service_account_email}."
        " Partagez-la avec cette adresse.",
        "hu": "A(z) {spreadsheet_name} Google-táblázat nincs megosztva ezzel a címmel: {service_account_email}. Ossza"
        " meg"
        " vele.",
    },
    "spreadsheet_read_only": {
        "en": "The Google spreadsheet “{title}” may only be read by {service_account_email}. Let that address edit it.",
        "de": "Die Google-Tabelle „{title}“ darf {service_account_email} nur lesen. Lassen Sie diese Adresse sie"
        " bearbeiten.",
        "fr": "La feuille de calcul Google « {title} » n'est accessible qu'en lecture à {service_account_email}."
        " Permettez à cette adresse de la modifier.",
        "hu": "A(z) „{title}” Google-táblázatot {service_account_email} csak olvashatja. Engedélyezze neki a"
        " szerkesztést.",
    },
    "tab_not_found": {
        "en": "There is no tab “{tab_name}” in the spreadsheet “{spreadsheet_title}”. Check its name.",
        "de": "Es gibt kein Tabellenblatt „{tab_name}“ in der Tabelle „{spreadsheet_title}“. Prüfen Sie seinen Namen.",
        "fr": "Il n'y a pas d'onglet « {tab_name} » dans la feuille de calcul « {spreadsheet_title} ». Vérifiez son"
        " nom.",
        "hu": "Nincs „{tab_name}” lap a(z) „{spreadsheet_title}” táblázatban. Ellenőrizze a nevét.",
    },
    "not_native_gsheet": {
        "en": "The file “{file_name}” is no Google spreadsheet ({mimetype}). Open it in Google Sheets, save it as"
        " one, and"
        " use that.",
        "de": "Die Datei „{file_name}“ ist keine Google-Tabelle ({mimetype}). Öffnen Sie sie in Google Tabellen,"
        " speichern"
        " Sie sie als solche, und nehmen Sie diese.",
        "fr": "Le fichier « {file_name} » n'est pas une feuille de calcul Google ({mimetype}). Ouvrez-le dans Google"
        " Sheets, enregistrez-le comme telle, et utilisez celle-ci.",
        "hu": "A(z) „{file_name}” fájl nem Google-táblázat ({mimetype}). Nyissa meg a Google Táblázatokban, mentse"
        " annak,"
        " és azt használja.",
    },
    "already_selected_duplicate_headers": {
        "en": "The header of the tab “{tab_name}” has columns more than once: {duplicates}. Keep one of each.",
        "de": "Die Kopfzeile des Tabellenblatts „{tab_name}“ hat Spalten mehr als einmal: {duplicates}. Behalten Sie je"
        " eine.",
        "fr": "L'en-tête de l'onglet « {tab_name} » a des colonnes en double : {duplicates}. Gardez-en une de chaque.",
        "hu": "A(z) „{tab_name}” lap fejlécében többször szereplő oszlopok vannak: {duplicates}. Tartson meg"
        " egyet-egyet.",
    },
    "logic_error_tab_suffix": {
        "en": "No name is free for the new tabs. Archive or delete the tabs of earlier runs.",
        "de": "Für die neuen Tabellenblätter ist kein Name frei. Archivieren oder löschen Sie die früherer Läufe.",
        "fr": "Aucun nom n'est libre pour les nouveaux onglets. Archivez ou supprimez ceux des exécutions précédentes.",
        "hu": "Nincs szabad név az új lapoknak. Archiválja vagy törölje a korábbi futások lapjait.",
    },
    "parser_error_features": _WRONG_CELLS,
    "parser_error_people": _WRONG_CELLS,
    "parser_error_already_selected": _WRONG_CELLS,
}

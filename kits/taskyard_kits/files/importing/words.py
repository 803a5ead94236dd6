"""What people are told of the errors of files.import_data."""

from __future__ import annotations

from taskyard.catalogue.words import Words
from taskyard_kits.record_words import RECORD_PHRASES

IMPORT_ERRORS: dict[str, Words] = {
    "import_format": {
        "en": "The name of this file does not say what it is. Give `format`: csv, jsonl or xlsx.",
        "de": "Der Name dieser Datei sagt nicht, was sie ist. Geben Sie `format` an: csv, jsonl oder xlsx.",
        "fr": "Le nom de ce fichier ne dit pas ce qu'il est. Indiquez `format` : csv, jsonl ou xlsx.",
        "hu": "A fájl nevéből nem derül ki, hogy mi ez. Adja meg a `format` értékét: csv, jsonl vagy xlsx.",
    },
    "import_encoding": {
        "en": "The file is in {encoding}. Save it in UTF-8 and upload it again.",
        "de": "Die Datei ist in {encoding} kodiert. Speichern Sie sie in UTF-8, und laden Sie sie neu hoch.",
        "fr": "Le fichier est encodé en {encoding}. Enregistrez-le en UTF-8 et téléversez-le de nouveau.",
        "hu": "A fájl kódolása {encoding}. Mentse UTF-8 kódolással, és töltse fel újra.",
    },
    "import_not_utf8": {
        "en": "The file is not in UTF-8: see line {line}. Save it in UTF-8 and upload it again.",
        "de": "Die Datei ist nicht in UTF-8 kodiert: siehe Zeile {line}. Speichern Sie sie in UTF-8, und laden Sie sie"
        " neu hoch.",
        "fr": "Le fichier n'est pas encodé en UTF-8 : voir la ligne {line}. Enregistrez-le en UTF-8 et téléversez-le de"
        " nouveau.",
        "hu": "A fájl kódolása nem UTF-8: lásd a(z) {line}. sort. Mentse UTF-8 kódolással, és töltse fel újra.",
    },
    "import_row_too_long": {
        "en": "The row that begins on line {row} has more than {limit} KiB. Look for a quote that is not closed, or"
        " shorten the row.",
        "de": "Die Zeile, die in Zeile {row} der Datei beginnt, hat mehr als {limit} KiB. Suchen Sie ein"
        " Anführungszeichen, das nicht geschlossen ist, oder kürzen Sie sie.",
        "fr": "La ligne qui commence à la ligne {row} du fichier dépasse {limit} Kio. Cherchez un guillemet qui n'est"
        " pas fermé, ou raccourcissez-la.",
        "hu": "A fájl {row}. sorában kezdődő sor hosszabb, mint {limit} KiB. Keressen lezáratlan idézőjelet, vagy"
        " rövidítse a sort.",
    },
    "import_open_quote": {
        "en": "A quote in the row that begins on line {row} is not closed at the end of the file or within {limit}"
        " lines. Close it, or double it if it belongs to the text.",
        "de": "Ein Anführungszeichen in der Zeile, die in Zeile {row} der Datei beginnt, wird bis zum Ende der Datei"
        " oder innerhalb von {limit} Zeilen nicht geschlossen. Schließen Sie es, oder verdoppeln Sie es, wenn es zum"
        " Text gehört.",
        "fr": "Un guillemet de la ligne qui commence à la ligne {row} du fichier n'est pas fermé avant la fin du"
        " fichier ou dans les {limit} lignes. Fermez-le, ou doublez-le s'il fait partie du texte.",
        "hu": "A fájl {row}. sorában kezdődő sor egyik idézőjele nincs lezárva a fájl végéig vagy {limit} soron belül."
        " Zárja le, vagy kettőzze meg, ha a szöveghez tartozik.",
    },
    "import_header": {
        "en": "The first row has to name the columns: each with another name of {limit} characters at most. Mend it, or"
        " set `header` to false.",
        "de": "Die erste Zeile muss die Spalten benennen: jede mit einem anderen Namen von höchstens {limit} Zeichen."
        " Berichtigen Sie sie, oder setzen Sie `header` auf false.",
        "fr": "La première ligne doit nommer les colonnes : chacune d'un autre nom de {limit} caractères au plus."
        " Corrigez-la, ou mettez `header` à false.",
        "hu": "Az első sornak meg kell neveznie az oszlopokat: mindegyiket más, legfeljebb {limit} karakteres néven."
        " Javítsa ki, vagy állítsa a `header` értékét false-ra.",
    },
    "import_columns": {
        "en": "The file has more than {limit} columns. Leave out those that are not needed.",
        "de": "Die Datei hat mehr als {limit} Spalten. Lassen Sie weg, was nicht gebraucht wird.",
        "fr": "Le fichier compte plus de {limit} colonnes. Retirez celles qui ne servent pas.",
        "hu": "A fájlnak több mint {limit} oszlopa van. Hagyja el a feleslegeseket.",
    },
    "import_no_column": {
        "en": "The file has no column {column}. Its columns: {columns}. Mend `key_column` or `columns`, or the first"
        " row.",
        "de": "Die Datei hat keine Spalte {column}. Ihre Spalten: {columns}. Berichtigen Sie `key_column` oder"
        " `columns`, oder die erste Zeile.",
        "fr": "Le fichier n'a pas de colonne {column}. Ses colonnes : {columns}. Corrigez `key_column` ou `columns`, ou"
        " la première ligne.",
        "hu": "A fájlban nincs {column} nevű oszlop. Az oszlopai: {columns}. Javítsa a `key_column` vagy a `columns`"
        " értékét, vagy az első sort.",
    },
    "import_delimiter": {
        "en": "The first row has one name only, with {delimiter} in it. Set `delimiter` to that, or rename the column.",
        "de": "Die erste Zeile hat nur einen Namen, und darin steht {delimiter}. Setzen Sie `delimiter` darauf, oder"
        " benennen Sie die Spalte um.",
        "fr": "La première ligne n'a qu'un nom, qui contient {delimiter}. Indiquez-le dans `delimiter`, ou renommez la"
        " colonne.",
        "hu": "Az első sorban csak egy név van, amelyben {delimiter} áll. Adja meg ezt `delimiter` értékként, vagy"
        " nevezze át az oszlopot.",
    },
    "import_too_long": {
        "en": "The rows that are imported already ({rows}) take most of the time of an attempt to read again. Divide"
        " the file, or save the sheet as CSV.",
        "de": "Die schon importierten Zeilen ({rows}) noch einmal zu lesen, braucht die meiste Zeit eines Versuchs."
        " Teilen Sie die Datei, oder speichern Sie das Blatt als CSV.",
        "fr": "Relire les lignes déjà importées ({rows}) prend l'essentiel du temps d'un essai. Divisez le fichier, ou"
        " enregistrez la feuille en CSV.",
        "hu": "A már importált sorok ({rows}) újraolvasása elviszi egy próbálkozás idejének nagy részét. Ossza fel a"
        " fájlt, vagy mentse a munkalapot CSV-be.",
    },
    "import_no_sheet": {
        "en": "The workbook has no sheet of this name. Give another `sheet`, or none for the first one.",
        "de": "Die Arbeitsmappe hat kein Blatt dieses Namens. Geben Sie ein anderes `sheet` an, oder keines für das"
        " erste.",
        "fr": "Le classeur n'a pas de feuille de ce nom. Indiquez une autre `sheet`, ou aucune pour la première.",
        "hu": "A munkafüzetben nincs ilyen nevű munkalap. Adjon meg másik `sheet` értéket, vagy az elsőhöz egyet se.",
    },
    "import_too_large": {
        "en": "The workbook takes more memory than there is for it here. Save the sheet as CSV and import that.",
        "de": "Die Arbeitsmappe braucht mehr Speicher, als es hier dafür gibt. Speichern Sie das Blatt als CSV, und"
        " importieren Sie dieses.",
        "fr": "Le classeur demande plus de mémoire qu'il n'y en a ici pour cela. Enregistrez la feuille en CSV et"
        " importez celui-ci.",
        "hu": "A munkafüzethez több memória kell, mint amennyi itt erre rendelkezésre áll. Mentse a munkalapot CSV-be,"
        " és azt importálja.",
    },
    "import_entities": {
        "en": "The workbook defines XML entities, as no program of spreadsheets does. Save it again in Excel or"
        " LibreOffice.",
        "de": "Die Arbeitsmappe definiert XML-Entitäten, was kein Tabellenprogramm tut. Speichern Sie sie in Excel oder"
        " LibreOffice neu.",
        "fr": "Le classeur définit des entités XML, ce qu'aucun tableur ne fait. Enregistrez-le de nouveau dans Excel"
        " ou LibreOffice.",
        "hu": "A munkafüzet XML-entitásokat határoz meg, amit egyetlen táblázatkezelő sem tesz. Mentse újra Excelben"
        " vagy LibreOffice-ban.",
    },
    "import_damaged": {
        "en": "The file is no workbook that can be read here, or it is damaged. Save it as .xlsx and upload it again.",
        "de": "Die Datei ist keine Arbeitsmappe, die hier gelesen werden kann, oder sie ist beschädigt. Speichern Sie"
        " sie als .xlsx, und laden Sie sie neu hoch.",
        "fr": "Le fichier n'est pas un classeur lisible ici, ou il est endommagé. Enregistrez-le en .xlsx et"
        " téléversez-le de nouveau.",
        "hu": "A fájl nem itt olvasható munkafüzet, vagy sérült. Mentse .xlsx formátumban, és töltse fel újra.",
    },
    "import_invalid_rows": {
        "en": "Invalid rows: {count}, the first ones on lines {rows}: {reason}. Mend them and import the file again;"
        " the rows before them are imported.",
        "de": "Ungültige Zeilen: {count}, die ersten in den Zeilen {rows}: {reason}. Berichtigen Sie sie, und"
        " importieren Sie die Datei noch einmal; die Zeilen davor sind importiert.",
        "fr": "Lignes non valides : {count}, les premières aux lignes {rows} : {reason}. Corrigez-les et importez de"
        " nouveau le fichier ; les lignes précédentes sont importées.",
        "hu": "Érvénytelen sorok: {count}, az elsők a következő sorokban: {rows}; ok: {reason}. Javítsa ki őket, és"
        " importálja újra a fájlt; az előttük lévő sorok már megvannak.",
    },
}

# Of the first invalid row: those of the values of records, and the reasons of rows.py.
IMPORT_PHRASES: dict[str, Words] = {
    **RECORD_PHRASES,
    "record_quotes": {
        "en": "its quotes do not match",
        "de": "ihre Anführungszeichen passen nicht zueinander",
        "fr": "ses guillemets ne correspondent pas",
        "hu": "az idézőjelei nem illenek össze",
    },
    "record_columns": {
        "en": "it has more or fewer cells than there are columns",
        "de": "sie hat mehr oder weniger Zellen, als es Spalten gibt",
        "fr": "elle a plus ou moins de cellules qu'il n'y a de colonnes",
        "hu": "több vagy kevesebb cellája van, mint ahány oszlop",
    },
    "record_not_text": {
        "en": "a value is not a text",
        "de": "ein Wert ist kein Text",
        "fr": "une valeur n'est pas un texte",
        "hu": "egy érték nem szöveg",
    },
    "record_not_an_integer": {
        "en": "a value is not a whole number",
        "de": "ein Wert ist keine ganze Zahl",
        "fr": "une valeur n'est pas un nombre entier",
        "hu": "egy érték nem egész szám",
    },
    "record_not_a_number": {
        "en": "a value is not a number",
        "de": "ein Wert ist keine Zahl",
        "fr": "une valeur n'est pas un nombre",
        "hu": "egy érték nem szám",
    },
    "record_not_a_boolean": {
        "en": "a value is neither true nor false",
        "de": "ein Wert ist weder wahr noch falsch",
        "fr": "une valeur n'est ni vraie ni fausse",
        "hu": "egy érték nem igaz és nem hamis",
    },
    "record_not_a_date": {
        "en": "a value is not a date such as 2026-11-29",
        "de": "ein Wert ist kein Datum wie 2026-11-29",
        "fr": "une valeur n'est pas une date comme 2026-11-29",
        "hu": "egy érték nem olyan dátum, mint 2026-11-29",
    },
    "record_not_a_datetime": {
        "en": "a value is not a time such as 2026-11-29T12:00:00Z",
        "de": "ein Wert ist kein Zeitpunkt wie 2026-11-29T12:00:00Z",
        "fr": "une valeur n'est pas une date et une heure comme 2026-11-29T12:00:00Z",
        "hu": "egy érték nem olyan időpont, mint 2026-11-29T12:00:00Z",
    },
    "record_cell_error": {
        "en": "a cell has an error, such as #DIV/0!",
        "de": "eine Zelle hat einen Fehler, etwa #DIV/0!",
        "fr": "une cellule contient une erreur, par exemple #DIV/0!",
        "hu": "egy cellában hiba van, például #DIV/0!",
    },
}

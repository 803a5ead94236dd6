"""What people are told of tables that cannot be read. `{table}` is one of the phrases."""

from __future__ import annotations

from taskyard.catalogue.words import Words

PHRASES: dict[str, Words] = {
    "people": {
        "en": "the people (feature_data)",
        "de": "den Personen (feature_data)",
        "fr": "les personnes (feature_data)",
        "hu": "a személyek (feature_data)",
    },
    "quotas": {
        "en": "the targets (quota_data)",
        "de": "den Zielvorgaben (quota_data)",
        "fr": "les objectifs (quota_data)",
        "hu": "a célértékek (quota_data)",
    },
}

TABLE_ERRORS: dict[str, Words] = {
    "table_empty": {
        "en": "In {table} there is no row below the header. Add the rows.",
        "de": "In {table} steht keine Zeile unter der Kopfzeile. Fügen Sie die Zeilen hinzu.",
        "fr": "Dans {table}, il n'y a pas de ligne sous l'en-tête. Ajoutez les lignes.",
        "hu": "A fejléc alatt nincs sor ebben: {table}. Adja hozzá a sorokat.",
    },
    "table_without_header": {
        "en": "In {table} the first row is blank. Put the names of the columns there.",
        "de": "In {table} ist die erste Zeile leer. Schreiben Sie die Namen der Spalten hinein.",
        "fr": "Dans {table}, la première ligne est vide. Écrivez-y les noms des colonnes.",
        "hu": "Az első sor üres ebben: {table}. Írja bele az oszlopok nevét.",
    },
    "table_too_large": {
        "en": "In {table} there are more than {limit} MiB. Leave out the columns that the lists do not need.",
        "de": "In {table} stehen mehr als {limit} MiB. Lassen Sie Spalten weg, die die Listen nicht brauchen.",
        "fr": "Dans {table}, il y a plus de {limit} Mio. Retirez les colonnes dont les listes n'ont pas besoin.",
        "hu": "Több mint {limit} MiB van ebben: {table}. Hagyja ki a listákhoz nem szükséges oszlopokat.",
    },
    "table_too_many_rows": {
        "en": "In {table} there are more than {limit} rows. Divide them, or draw from a sample.",
        "de": "In {table} stehen mehr als {limit} Zeilen. Teilen Sie sie auf, oder losen Sie aus einer Stichprobe.",
        "fr": "Dans {table}, il y a plus de {limit} lignes. Divisez-les, ou tirez au sort dans un échantillon.",
        "hu": "Több mint {limit} sor van ebben: {table}. Ossza fel, vagy sorsoljon egy mintából.",
    },
    "table_too_many_columns": {
        "en": "In {table} there are more than {limit} columns. Leave out those that the lists do not need.",
        "de": "In {table} stehen mehr als {limit} Spalten. Lassen Sie weg, was die Listen nicht brauchen.",
        "fr": "Dans {table}, il y a plus de {limit} colonnes. Retirez celles dont les listes n'ont pas besoin.",
        "hu": "Több mint {limit} oszlop van ebben: {table}. Hagyja ki a listákhoz nem szükségeseket.",
    },
    "table_cell_too_long": {
        "en": "In {table}, row {row}, a cell has more than {limit} characters. Shorten it.",
        "de": "In {table}, Zeile {row}, hat eine Zelle mehr als {limit} Zeichen. Kürzen Sie sie.",
        "fr": "Dans {table}, ligne {row}, une cellule a plus de {limit} caractères. Raccourcissez-la.",
        "hu": "Egy cella több mint {limit} karakterből áll: {table}, {row}. sor. Rövidítse le.",
    },
    "table_wrong_encoding": {
        "en": "In {table} the text is {encoding}. Save the file as CSV in UTF-8.",
        "de": "In {table} ist der Text {encoding}. Speichern Sie die Datei als CSV in UTF-8.",
        "fr": "Dans {table}, le texte est en {encoding}. Enregistrez le fichier en CSV au format UTF-8.",
        "hu": "A szöveg kódolása {encoding}: {table}. Mentse a fájlt CSV-ként, UTF-8 kódolással.",
    },
    "table_not_utf8": {
        "en": "In {table}, line {row} is not UTF-8. Save the file as CSV in UTF-8.",
        "de": "In {table} ist Zeile {row} nicht UTF-8. Speichern Sie die Datei als CSV in UTF-8.",
        "fr": "Dans {table}, la ligne {row} n'est pas en UTF-8. Enregistrez le fichier en CSV au format UTF-8.",
        "hu": "Nem UTF-8 kódolású: {table}, {row}. sor. Mentse a fájlt CSV-ként, UTF-8 kódolással.",
    },
    "table_has_nul": {
        "en": "In {table}, line {row} holds a NUL character. This is no CSV file, or it is damaged: save it as CSV"
        " again.",
        "de": "In {table} enthält Zeile {row} ein NUL-Zeichen. Das ist keine CSV-Datei, oder sie ist beschädigt:"
        " speichern Sie sie neu als CSV.",
        "fr": "Dans {table}, la ligne {row} contient un caractère NUL. Ce n'est pas un fichier CSV, ou il est"
        " endommagé : enregistrez-le de nouveau en CSV.",
        "hu": "NUL karaktert tartalmaz: {table}, {row}. sor. Ez nem CSV-fájl, vagy sérült: mentse újra CSV-ként.",
    },
    "table_ragged": {
        "en": "In {table}, row {row} has {cells} cells where the header has {columns}. Give it as many.",
        "de": "In {table} hat Zeile {row} {cells} Zellen, die Kopfzeile aber {columns}. Gleichen Sie das an.",
        "fr": "Dans {table}, la ligne {row} a {cells} cellules alors que l'en-tête en a {columns}. Donnez-lui-en"
        " autant.",
        "hu": "A cellák száma {cells}, a fejlécben pedig {columns}: {table}, {row}. sor. Igazítsa hozzá.",
    },
    "table_malformed": {
        "en": "In {table}, line {row} is not CSV: a quote is not closed, or text follows a closed one. Correct it.",
        "de": "In {table} ist Zeile {row} kein CSV: ein Anführungszeichen ist nicht geschlossen, oder Text steht hinter"
        " einem. Berichtigen Sie das.",
        "fr": "Dans {table}, la ligne {row} n'est pas du CSV : un guillemet n'est pas fermé, ou du texte le suit."
        " Corrigez-la.",
        "hu": "Nem CSV: {table}, {row}. sor. Egy idézőjel nincs lezárva, vagy szöveg áll utána. Javítsa ki.",
    },
    "table_wrong_separator": {
        "en": "In {table} the columns are separated by {separator}. Save the file as CSV with commas.",
        "de": "In {table} sind die Spalten durch {separator} getrennt. Speichern Sie die Datei als CSV mit Kommas.",
        "fr": "Dans {table}, les colonnes sont séparées par {separator}. Enregistrez le fichier en CSV avec des"
        " virgules.",
        "hu": "Az oszlopelválasztó {separator}: {table}. Mentse a fájlt vesszővel tagolt CSV-ként.",
    },
    "quota_out_of_range": {
        "en": "In the targets (quota_data) these numbers are not between 0 and {limit}. Correct them: {cells}.",
        "de": "In den Zielvorgaben (quota_data) liegen diese Zahlen nicht zwischen 0 und {limit}. Berichtigen Sie sie:"
        " {cells}.",
        "fr": "Dans les objectifs (quota_data), ces nombres ne sont pas entre 0 et {limit}. Corrigez-les : {cells}.",
        "hu": "A célértékek (quota_data) e számai nincsenek 0 és {limit} között. Javítsa ki őket: {cells}.",
    },
    "quota_without_feature": {
        "en": "In the targets (quota_data) these rows have no feature. Name it: {cells}.",
        "de": "In den Zielvorgaben (quota_data) haben diese Zeilen kein Merkmal. Nennen Sie es: {cells}.",
        "fr": "Dans les objectifs (quota_data), ces lignes n'ont pas de critère. Indiquez-le : {cells}.",
        "hu": "A célértékek (quota_data) e soraiban nincs jellemző. Adja meg: {cells}.",
    },
    "quota_repeated": {
        "en": "In the targets (quota_data) these values have a row already. Keep one row for each: {cells}.",
        "de": "In den Zielvorgaben (quota_data) haben diese Werte schon eine Zeile. Behalten Sie je eine: {cells}.",
        "fr": "Dans les objectifs (quota_data), ces valeurs ont déjà une ligne. Gardez-en une pour chacune : {cells}.",
        "hu": "A célértékek (quota_data) ezen értékeinek már van sora. Hagyjon meg mindegyikhez egyet: {cells}.",
    },
    "address_missing": {
        "en": "At most one person of an address is selected, and these people have none. Fill in the cells, or switch"
        " check_same_address off: {cells}.",
        "de": "Höchstens eine Person einer Adresse wird ausgewählt, und diese Personen haben keine. Füllen Sie die"
        " Zellen aus, oder schalten Sie check_same_address aus: {cells}.",
        "fr": "Une personne au plus par adresse est sélectionnée, et ces personnes n'en ont pas. Remplissez les"
        " cellules, ou désactivez check_same_address : {cells}.",
        "hu": "Címenként legfeljebb egy személy választható ki, és ezeknek a személyeknek nincs címük. Töltse ki a"
        " cellákat, vagy kapcsolja ki a check_same_address beállítást: {cells}.",
    },
    "too_few_people": {
        "en": "There are {people} people, of whom {wanted} are to be selected. Add people, or select fewer.",
        "de": "Es gibt {people} Personen, von denen {wanted} ausgewählt werden sollen. Fügen Sie Personen hinzu, oder"
        " wählen Sie weniger aus.",
        "fr": "Il y a {people} personnes, dont {wanted} sont à sélectionner. Ajoutez des personnes, ou sélectionnez-en"
        " moins.",
        "hu": "Összesen {people} személy van, közülük {wanted} kiválasztandó. Adjon hozzá személyeket, vagy válasszon"
        " ki"
        " kevesebbet.",
    },
}

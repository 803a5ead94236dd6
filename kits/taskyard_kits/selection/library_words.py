"""What people are told of the codes of sortition-algorithms 0.12 (its `error_messages.py`) about people and targets.

`{cells}` are the cells that are wrong in the same way, as `row/column: "value"`.
"""

from __future__ import annotations

from taskyard.catalogue.words import Words

from .setting_words import SETTING_ERRORS
from .sheet_words import SHEET_ERRORS

_DATA_ERRORS: dict[str, Words] = {
    "missing_column": {
        "en": "Among the people (feature_data) there is no column “{column}”. Add it, or correct its name in the"
        " parameters or the targets.",
        "de": "Bei den Personen (feature_data) gibt es keine Spalte „{column}“. Fügen Sie sie hinzu, oder berichtigen"
        " Sie"
        " ihren Namen in den Parametern oder den Zielvorgaben.",
        "fr": "Parmi les personnes (feature_data), il n'y a pas de colonne « {column} ». Ajoutez-la, ou corrigez son"
        " nom"
        " dans les paramètres ou les objectifs.",
        "hu": "A személyek (feature_data) között nincs „{column}” oszlop. Adja hozzá, vagy javítsa a nevét a"
        " paraméterekben vagy a célértékekben.",
    },
    "duplicate_column": {
        "en": "Among the people (feature_data) the column “{column}” stands more than once. Keep one of them.",
        "de": "Bei den Personen (feature_data) steht die Spalte „{column}“ mehr als einmal. Behalten Sie eine davon.",
        "fr": "Parmi les personnes (feature_data), la colonne « {column} » figure plusieurs fois. Gardez-en une.",
        "hu": "A személyek (feature_data) között többször szerepel a „{column}” oszlop. Tartson meg egyet.",
    },
    "missing_required_column": {
        "en": "In the targets (quota_data) there is no column “{field_name}”. They need feature, value, min and max.",
        "de": "In den Zielvorgaben (quota_data) gibt es keine Spalte „{field_name}“. Sie brauchen feature, value, min"
        " und max.",
        "fr": "Dans les objectifs (quota_data), il n'y a pas de colonne « {field_name} ». Il leur faut feature, value,"
        " min et max.",
        "hu": "A célértékek (quota_data) között nincs „{field_name}” oszlop. Kell: feature, value, min és max.",
    },
    "duplicate_required_column": {
        "en": "In the targets (quota_data) the column “{field_name}” stands {count} times. Keep one of them.",
        "de": "In den Zielvorgaben (quota_data) steht die Spalte „{field_name}“ {count}-mal. Behalten Sie eine davon.",
        "fr": "Dans les objectifs (quota_data), la colonne « {field_name} » figure {count} fois. Gardez-en une.",
        "hu": "A célértékek (quota_data) között {count} alkalommal szerepel a „{field_name}” oszlop. Tartson meg"
        " egyet.",
    },
    "unexpected_column_error": {
        "en": "In the targets (quota_data) these columns do not fit together: {headers}. Use feature, value, min, max,"
        " and both or none of min_flex and max_flex.",
        "de": "In den Zielvorgaben (quota_data) passen diese Spalten nicht zusammen: {headers}. Nehmen Sie feature,"
        " value, min, max, und beide oder keine von min_flex und max_flex.",
        "fr": "Dans les objectifs (quota_data), ces colonnes ne vont pas ensemble : {headers}. Utilisez feature, value,"
        " min, max, et les deux ou aucune de min_flex et max_flex.",
        "hu": "A célértékek (quota_data) ezen oszlopai nem illenek össze: {headers}. Használja ezeket: feature, value,"
        " min, max, valamint a min_flex és max_flex közül mindkettőt vagy egyiket sem.",
    },
    "feature_column_not_found": {
        "en": "In the targets (quota_data) none of these columns is there: {column_names}. Name one of them so.",
        "de": "In den Zielvorgaben (quota_data) fehlt eine dieser Spalten: {column_names}. Benennen Sie eine so.",
        "fr": "Dans les objectifs (quota_data), il manque une de ces colonnes : {column_names}. Nommez-en une ainsi.",
        "hu": "A célértékek (quota_data) között ezek egyike sincs meg: {column_names}. Nevezzen el így egy oszlopot.",
    },
    "feature_value_column_not_found": {
        "en": "In the targets (quota_data) none of these columns is there: {column_names}. Name one of them so.",
        "de": "In den Zielvorgaben (quota_data) fehlt eine dieser Spalten: {column_names}. Benennen Sie eine so.",
        "fr": "Dans les objectifs (quota_data), il manque une de ces colonnes : {column_names}. Nommez-en une ainsi.",
        "hu": "A célértékek (quota_data) között ezek egyike sincs meg: {column_names}. Nevezzen el így egy oszlopot.",
    },
    "no_value_set": {
        "en": "In the targets (quota_data) these cells are empty, and need a whole number: {cells}.",
        "de": "In den Zielvorgaben (quota_data) sind diese Zellen leer, und brauchen eine ganze Zahl: {cells}.",
        "fr": "Dans les objectifs (quota_data), ces cellules sont vides, et il y faut un nombre entier : {cells}.",
        "hu": "A célértékek (quota_data) e cellái üresek, és egész szám kell beléjük: {cells}.",
    },
    "not_a_number": {
        "en": "In the targets (quota_data) these cells hold no whole number. Correct them: {cells}.",
        "de": "In den Zielvorgaben (quota_data) enthalten diese Zellen keine ganze Zahl. Berichtigen Sie sie: {cells}.",
        "fr": "Dans les objectifs (quota_data), ces cellules ne contiennent pas de nombre entier. Corrigez-les :"
        " {cells}.",
        "hu": "A célértékek (quota_data) e cellái nem egész számok. Javítsa ki őket: {cells}.",
    },
    "empty_feature_value": {
        "en": "In the targets (quota_data) these rows name a feature and no value. Fill them in: {cells}.",
        "de": "In den Zielvorgaben (quota_data) nennen diese Zeilen ein Merkmal und keinen Wert. Füllen Sie sie aus:"
        " {cells}.",
        "fr": "Dans les objectifs (quota_data), ces lignes nomment un critère sans valeur. Remplissez-les : {cells}.",
        "hu": "A célértékek (quota_data) e soraiban van jellemző, de nincs érték. Töltse ki őket: {cells}.",
    },
    "min_greater_than_max": {
        "en": "In the targets (quota_data) min is greater than max. Correct these cells: {cells}.",
        "de": "In den Zielvorgaben (quota_data) ist min größer als max. Berichtigen Sie diese Zellen: {cells}.",
        "fr": "Dans les objectifs (quota_data), min est supérieur à max. Corrigez ces cellules : {cells}.",
        "hu": "A célértékek (quota_data) között a min nagyobb, mint a max. Javítsa ki e cellákat: {cells}.",
    },
    "min_flex_greater_than_min": {
        "en": "In the targets (quota_data) min_flex is greater than min. Correct these cells: {cells}.",
        "de": "In den Zielvorgaben (quota_data) ist min_flex größer als min. Berichtigen Sie diese Zellen: {cells}.",
        "fr": "Dans les objectifs (quota_data), min_flex est supérieur à min. Corrigez ces cellules : {cells}.",
        "hu": "A célértékek (quota_data) között a min_flex nagyobb, mint a min. Javítsa ki e cellákat: {cells}.",
    },
    "max_flex_less_than_max": {
        "en": "In the targets (quota_data) max_flex is less than max. Correct these cells: {cells}.",
        "de": "In den Zielvorgaben (quota_data) ist max_flex kleiner als max. Berichtigen Sie diese Zellen: {cells}.",
        "fr": "Dans les objectifs (quota_data), max_flex est inférieur à max. Corrigez ces cellules : {cells}.",
        "hu": "A célértékek (quota_data) között a max_flex kisebb, mint a max. Javítsa ki e cellákat: {cells}.",
    },
}
_DATA_ERRORS |= {
    "value_not_in_feature": {
        "en": "Among the people (feature_data) these cells hold values that have no target. Correct them, or add the"
        " targets: {cells}.",
        "de": "Bei den Personen (feature_data) enthalten diese Zellen Werte ohne Zielvorgabe. Berichtigen Sie sie, oder"
        " fügen Sie die Zielvorgaben hinzu: {cells}.",
        "fr": "Parmi les personnes (feature_data), ces cellules contiennent des valeurs sans objectif. Corrigez-les, ou"
        " ajoutez les objectifs : {cells}.",
        "hu": "A személyek (feature_data) e celláinak értékéhez nincs célérték. Javítsa ki őket, vagy adja hozzá a"
        " célértékeket: {cells}.",
    },
    "empty_value_in_feature": {
        "en": "Among the people (feature_data) these cells are empty, and each feature needs a value: {cells}.",
        "de": "Bei den Personen (feature_data) sind diese Zellen leer, und jedes Merkmal braucht einen Wert: {cells}.",
        "fr": "Parmi les personnes (feature_data), ces cellules sont vides, et chaque critère demande une valeur :"
        " {cells}.",
        "hu": "A személyek (feature_data) e cellái üresek, és minden jellemzőhöz kell érték: {cells}.",
    },
    "parse_error_single_column": {
        "en": "Row {row}, column “{key}” is wrong: {msg} Correct it.",
        "de": "Zeile {row}, Spalte „{key}“ ist falsch: {msg} Berichtigen Sie sie.",
        "fr": "La ligne {row}, colonne « {key} », est incorrecte : {msg} Corrigez-la.",
        "hu": "Hibás a(z) {row}. sor „{key}” oszlopa: {msg} Javítsa ki.",
    },
    "parse_error_multi_column": {
        "en": "Row {row}, columns {keys} are wrong: {msg} Correct them.",
        "de": "Zeile {row}, Spalten {keys} sind falsch: {msg} Berichtigen Sie sie.",
        "fr": "La ligne {row}, colonnes {keys}, est incorrecte : {msg} Corrigez-la.",
        "hu": "Hibásak a(z) {row}. sor {keys} oszlopai: {msg} Javítsa ki.",
    },
    "parse_error_see_cell": {
        "en": "Cell {cell_name} is wrong: {msg} Correct it.",
        "de": "Zelle {cell_name} ist falsch: {msg} Berichtigen Sie sie.",
        "fr": "La cellule {cell_name} est incorrecte : {msg} Corrigez-la.",
        "hu": "Hibás cella: {cell_name}: {msg} Javítsa ki.",
    },
    "parse_error_see_cells": {
        "en": "Cells {cell_names} are wrong: {msg} Correct them.",
        "de": "Die Zellen {cell_names} sind falsch: {msg} Berichtigen Sie sie.",
        "fr": "Les cellules {cell_names} sont incorrectes : {msg} Corrigez-les.",
        "hu": "Hibás cellák: {cell_names}: {msg} Javítsa ki őket.",
    },
    "duplicate_id_header": {
        "en": "Among the people (feature_data) {count} ids stand in rows that differ. Give each person an id of their"
        " own"
        " (id: rows): {ids}.",
        "de": "Bei den Personen (feature_data) stehen {count} Ids in Zeilen, die sich unterscheiden. Geben Sie jeder"
        " Person eine eigene (Id: Zeilen): {ids}.",
        "fr": "Parmi les personnes (feature_data), {count} identifiants figurent dans des lignes différentes. Donnez à"
        " chaque personne le sien (identifiant : lignes) : {ids}.",
        "hu": "A személyek (feature_data) között {count} azonosító eltérő sorokban szerepel. Adjon mindenkinek sajátot"
        " (azonosító: sorok): {ids}.",
    },
    "duplicate_id_row": {
        "en": "The id “{person_id}” stands in more than one row: {row_data} Give each person an id of their own.",
        "de": "Die Id „{person_id}“ steht in mehr als einer Zeile: {row_data} Geben Sie jeder Person eine eigene.",
        "fr": "L'identifiant « {person_id} » figure dans plusieurs lignes : {row_data} Donnez à chaque personne le"
        " sien.",
        "hu": "A(z) „{person_id}” azonosító több sorban szerepel: {row_data} Adjon mindenkinek sajátot.",
    },
    "person_not_found": {
        "en": "The library lost count of the people with {feature_name} “{feature_value}” (position {position}). Take"
        " another algorithm.",
        "de": "Die Bibliothek hat sich bei den Personen mit {feature_name} „{feature_value}“ verzählt (Position"
        " {position}). Nehmen Sie ein anderes Verfahren.",
        "fr": "La bibliothèque s'est trompée en comptant les personnes de {feature_name} « {feature_value} » (position"
        " {position}). Prenez un autre algorithme.",
        "hu": "A könyvtár elvétette a {feature_name} „{feature_value}” személyek számát ({position}. hely). Válasszon"
        " másik algoritmust.",
    },
    "variables_without_value": {
        "en": "The solver left variables without a value: {error}. Try another algorithm, or wider targets.",
        "de": "Der Löser hat Variablen ohne Wert gelassen: {error}. Versuchen Sie ein anderes Verfahren oder weitere"
        " Zielvorgaben.",
        "fr": "Le solveur a laissé des variables sans valeur : {error}. Essayez un autre algorithme, ou des objectifs"
        " plus larges.",
        "hu": "A megoldó érték nélkül hagyott változókat: {error}. Próbáljon másik algoritmust vagy tágabb"
        " célértékeket.",
    },
}
_DATA_ERRORS |= {
    "not_enough_people": {
        "en": "There are fewer people than the targets ask for: {shortages}. Lower these min, or add people.",
        "de": "Es gibt weniger Personen, als die Zielvorgaben verlangen: {shortages}. Senken Sie diese min, oder fügen"
        " Sie Personen hinzu.",
        "fr": "Il y a moins de personnes que les objectifs n'en demandent : {shortages}. Baissez ces min, ou ajoutez"
        " des"
        " personnes.",
        "hu": "Kevesebb személy van, mint amennyit a célértékek kérnek: {shortages}. Csökkentse e min értékeket, vagy"
        " adjon hozzá személyeket.",
    },
    "desired_out_of_range": {
        "en": "With these targets {desired} people cannot be selected; these features allow: {ranges}. Change the"
        " targets"
        " or number_to_select.",
        "de": "Mit diesen Zielvorgaben können nicht {desired} Personen ausgewählt werden; diese Merkmale erlauben:"
        " {ranges}. Ändern Sie die Zielvorgaben oder number_to_select.",
        "fr": "Avec ces objectifs, on ne peut sélectionner {desired} personnes ; ces critères permettent : {ranges}."
        " Changez les objectifs ou number_to_select.",
        "hu": "E célértékekkel nem választható ki {desired} személy; e jellemzők ennyit engednek: {ranges}. Módosítsa a"
        " célértékeket vagy a number_to_select értékét.",
    },
    "infeasible_quotas_header": {
        "en": "No panel of these people can meet all targets. With these changes one can: {changes}.",
        "de": "Kein Panel aus diesen Personen kann alle Zielvorgaben erfüllen. Mit diesen Änderungen geht es:"
        " {changes}.",
        "fr": "Aucun panel de ces personnes ne peut atteindre tous les objectifs. Avec ces changements, c'est"
        " possible :"
        " {changes}.",
        "hu": "E személyekből egyetlen testület sem felelhet meg minden célértéknek. E változtatásokkal lehetséges:"
        " {changes}.",
    },
    "inconsistent_min_max_header": {
        "en": "The targets (quota_data) contradict each other: {min_feature} asks for at least {min_val} people,"
        " {max_feature} allows {max_val} at most. Lower min of {min_feature}, or raise max of {max_feature}.",
        "de": "Die Zielvorgaben (quota_data) widersprechen einander: {min_feature} verlangt mindestens {min_val}"
        " Personen, {max_feature} erlaubt höchstens {max_val}. Senken Sie min von {min_feature}, oder erhöhen Sie max"
        " von"
        " {max_feature}.",
        "fr": "Les objectifs (quota_data) se contredisent : {min_feature} demande au moins {min_val} personnes,"
        " {max_feature} en permet {max_val} au plus. Baissez le min de {min_feature}, ou augmentez le max de"
        " {max_feature}.",
        "hu": "A célértékek (quota_data) ellentmondanak egymásnak: {min_feature} legalább {min_val} személyt kér,"
        " {max_feature} legfeljebb {max_val} személyt enged. Csökkentse {min_feature} min, vagy növelje {max_feature}"
        " max"
        " értékeit.",
    },
    "smallest_maximum_detail": {
        "en": "The smallest maximum is {max_val}, of {max_feature}. Raise its max.",
        "de": "Das kleinste Maximum ist {max_val}, von {max_feature}. Erhöhen Sie dessen max.",
        "fr": "Le plus petit maximum est {max_val}, de {max_feature}. Augmentez-en le max.",
        "hu": "A legkisebb maximum {max_val}, ezé: {max_feature}. Növelje a max értékét.",
    },
    "largest_minimum_detail": {
        "en": "The largest minimum is {min_val}, of {min_feature}. Lower its min.",
        "de": "Das größte Minimum ist {min_val}, von {min_feature}. Senken Sie dessen min.",
        "fr": "Le plus grand minimum est {min_val}, de {min_feature}. Baissez-en le min.",
        "hu": "A legnagyobb minimum {min_val}, ezé: {min_feature}. Csökkentse a min értékét.",
    },
    "min_max_fix_suggestion": {
        "en": "Lower min of {min_feature}, or raise max of {max_feature}.",
        "de": "Senken Sie min von {min_feature}, oder erhöhen Sie max von {max_feature}.",
        "fr": "Baissez le min de {min_feature}, ou augmentez le max de {max_feature}.",
        "hu": "Csökkentse {min_feature} min értékét, vagy növelje {max_feature} max értékét.",
    },
}

LIBRARY_ERRORS: dict[str, Words] = {**_DATA_ERRORS, **SETTING_ERRORS, **SHEET_ERRORS}

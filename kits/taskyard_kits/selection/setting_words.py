"""What people are told of the library's codes about the settings of a draw. Admission refuses most of them before."""

from __future__ import annotations

from taskyard.catalogue.words import Words

_LISTS = {
    "en": "The parameter {name} has to be a list of names. Correct it.",
    "de": "Der Parameter {name} muss eine Liste von Namen sein. Berichtigen Sie ihn.",
    "fr": "Le paramètre {name} doit être une liste de noms. Corrigez-le.",
    "hu": "A(z) {name} paraméternek névlistának kell lennie. Javítsa ki.",
}
_ONE_PANEL = {
    "en": "The algorithm {name} draws one panel a task. Submit a task for each panel.",
    "de": "Das Verfahren {name} lost ein Panel je Aufgabe aus. Reichen Sie für jedes Panel eine Aufgabe ein.",
    "fr": "L'algorithme {name} tire un panel par tâche. Soumettez une tâche par panel.",
    "hu": "A(z) {name} algoritmus feladatonként egy testületet sorsol. Adjon fel testületenként egy feladatot.",
}
_ALGORITHM = {
    "en": "There is no algorithm “{algorithm}”. Use maximin, leximin, nash, diversimax or legacy.",
    "de": "Es gibt kein Verfahren „{algorithm}“. Nehmen Sie maximin, leximin, nash, diversimax oder legacy.",
    "fr": "Il n'y a pas d'algorithme « {algorithm} ». Utilisez maximin, leximin, nash, diversimax ou legacy.",
    "hu": "Nincs „{algorithm}” nevű algoritmus. Használja ezek egyikét: maximin, leximin, nash, diversimax, legacy.",
}
_BACKEND = {
    "en": "There is no solver “{backend}” here. Use highspy.",
    "de": "Es gibt hier keinen Löser „{backend}“. Nehmen Sie highspy.",
    "fr": "Il n'y a pas de solveur « {backend} » ici. Utilisez highspy.",
    "hu": "Nincs itt „{backend}” megoldó. Használja ezt: highspy.",
}
_NOT_INSTALLED = {
    "en": "The libraries of the algorithm {name} are not installed here. Use maximin, or ask the operator.",
    "de": "Die Bibliotheken des Verfahrens {name} sind hier nicht installiert. Nehmen Sie maximin, oder fragen Sie den"
    " Betreiber.",
    "fr": "Les bibliothèques de l'algorithme {name} ne sont pas installées ici. Utilisez maximin, ou adressez-vous à"
    " l'exploitant.",
    "hu": "A(z) {name} algoritmus könyvtárai itt nincsenek telepítve. Használja a maximin algoritmust, vagy forduljon"
    " az"
    " üzemeltetőhöz.",
}


def _of(words: Words, name: str) -> Words:
    return {language: text.replace("{name}", name) for language, text in words.items()}


SETTING_ERRORS: dict[str, Words] = {
    "test_selection_multiple_selections": _of(_ONE_PANEL, "test"),
    "legacy_multiple_selections": _of(_ONE_PANEL, "legacy"),
    "diversimax_multiple_selections": _of(_ONE_PANEL, "diversimax"),
    "unknown_selection_algorithm": _ALGORITHM,
    "invalid_selection_algorithm": _ALGORITHM,
    "invalid_solver_backend": _BACKEND,
    "unknown_solver_backend": _BACKEND,
    "check_same_address_not_list": _of(_LISTS, "check_same_address_columns"),
    "check_same_address_not_strings": _of(_LISTS, "check_same_address_columns"),
    "columns_to_keep_not_list": _of(_LISTS, "columns_to_keep"),
    "columns_to_keep_not_strings": _of(_LISTS, "columns_to_keep"),
    "check_same_address_empty": {
        "en": "With check_same_address, check_same_address_columns must name the columns that make an address. Name"
        " them.",
        "de": "Mit check_same_address muss check_same_address_columns die Spalten nennen, die eine Adresse ausmachen."
        " Nennen Sie sie.",
        "fr": "Avec check_same_address, check_same_address_columns doit nommer les colonnes qui font une adresse."
        " Nommez-les.",
        "hu": "A check_same_address mellett a check_same_address_columns értékének meg kell neveznie a címet adó"
        " oszlopokat. Nevezze meg őket.",
    },
    "diversimax_not_available": _of(_NOT_INSTALLED, "diversimax"),
    "gurobi_not_available": _of(_NOT_INSTALLED, "leximin"),
}

"""What people are told of the errors of users.*."""

from __future__ import annotations

from taskyard.catalogue.words import Words

ERRORS: dict[str, Words] = {
    "user_not_found": {
        "en": "There is no such user for the key that submitted this. Write the user with PUT /users/{{id}}, then"
        " submit it anew.",
        "de": "Für den Schlüssel, der dies eingereicht hat, gibt es diesen Benutzer nicht. Legen Sie ihn mit"
        " PUT /users/{{id}} an und reichen Sie es neu ein.",
        "fr": "La clé qui a soumis ceci n'a pas cet utilisateur. Créez-le avec PUT /users/{{id}}, puis soumettez-le à"
        " nouveau.",
        "hu": "A beküldő kulcsnak nincs ilyen felhasználója. Hozza létre a PUT /users/{{id}} hívással, majd küldje be"
        " újra.",
    },
}
ERASURE_ERRORS: dict[str, Words] = {
    "erasure_not_asked": {
        "en": "Only DELETE /users/{{id}} may submit this task.",
        "de": "Diese Aufgabe darf nur DELETE /users/{{id}} einreichen.",
        "fr": "Seul DELETE /users/{{id}} peut soumettre cette tâche.",
        "hu": "Ezt a feladatot csak a DELETE /users/{{id}} hívás küldheti be.",
    },
    "tasks_still_run": {
        "en": "Tasks that are about this person, or mention the address, still run. All else is erased, but for the"
        " user; a later attempt erases the rest.",
        "de": "Aufgaben, die diese Person betreffen oder die Adresse erwähnen, laufen noch. Alles andere außer dem"
        " Benutzer ist gelöscht; ein späterer Versuch löscht den Rest.",
        "fr": "Des tâches qui concernent cette personne ou mentionnent son adresse s'exécutent encore. Tout le reste"
        " est effacé, sauf l'utilisateur ; une tentative ultérieure effacera le reste.",
        "hu": "Még futnak olyan feladatok, amelyek erről a személyről szólnak vagy megemlítik a címét. Minden más"
        " törlődött, a felhasználó kivételével; egy későbbi kísérlet törli a többit.",
    },
}

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
        "en": "Tasks about this person were asked to end, and still run.",
        "de": "Aufgaben zu dieser Person wurden aufgefordert zu enden und laufen noch.",
        "fr": "Des tâches relatives à cette personne ont reçu l'ordre de s'arrêter et s'exécutent encore.",
        "hu": "Az e személyre vonatkozó feladatok leállítását kértük, de még futnak.",
    },
}

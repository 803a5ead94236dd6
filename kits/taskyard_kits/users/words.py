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

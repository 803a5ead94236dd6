"""What people are told of the errors that only notifications have."""

from __future__ import annotations

from taskyard.catalogue.words import Words

ERRORS: dict[str, Words] = {
    "webhook_endpoint_deleted": {
        "en": "There is no such webhook endpoint for the key that submitted this. Register one, then send it anew.",
        "de": "Für den Schlüssel, der dies eingereicht hat, gibt es diesen Webhook-Endpunkt nicht. Registrieren Sie"
        " einen und senden Sie es neu.",
        "fr": "La clé qui a soumis ceci n'a pas ce point d'accès de webhook. Enregistrez-en un, puis renvoyez-le.",
        "hu": "A beküldő kulcsnak nincs ilyen webhook-végpontja. Regisztráljon egyet, majd küldje el újra.",
    },
    "webhook_endpoint_disabled": {
        "en": "The webhook endpoint is disabled, because its receiver answered 410. Enable it, then send it anew.",
        "de": "Der Webhook-Endpunkt ist abgeschaltet, weil sein Empfänger mit 410 geantwortet hat. Schalten Sie ihn ein"
        " und senden Sie es neu.",
        "fr": "Le point d'accès de webhook est désactivé, car son destinataire a répondu 410. Réactivez-le, puis"
        " renvoyez-le.",
        "hu": "A webhook-végpont le van tiltva, mert a fogadója 410-zel válaszolt. Engedélyezze, majd küldje el újra.",
    },
    "user_without_endpoint": {
        "en": "The user has no webhook endpoint. Write one with PUT /users/{{id}}, or send it by email.",
        "de": "Der Benutzer hat keinen Webhook-Endpunkt. Tragen Sie einen mit PUT /users/{{id}} ein, oder senden Sie es"
        " per E-Mail.",
        "fr": "L'utilisateur n'a pas de point d'accès de webhook. Indiquez-en un avec PUT /users/{{id}}, ou envoyez le"
        " message par e-mail.",
        "hu": "A felhasználónak nincs webhook-végpontja. Adjon meg egyet a PUT /users/{{id}} hívással, vagy küldje"
        " e-mailben.",
    },
}

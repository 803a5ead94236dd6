"""What people are told of the errors of webhooks, and the values in them that are phrases."""

from __future__ import annotations

from taskyard.catalogue.words import Words

ERRORS: dict[str, Words] = {
    "webhook_refused": {
        "en": "The receiver answered with the status {status}. It is tried again; if that goes on, ask its operator.",
        "de": "Der Empfänger hat mit dem Status {status} geantwortet. Es wird wieder versucht; bleibt es dabei, fragen"
        " Sie seinen Betreiber.",
        "fr": "Le destinataire a répondu avec le statut {status}. Un nouvel essai aura lieu ; si cela persiste,"
        " adressez-vous à son exploitant.",
        "hu": "A fogadó {status} állapottal válaszolt. Újra próbálkozunk; ha továbbra sem sikerül, forduljon az"
        " üzemeltetőjéhez.",
    },
    "webhook_gone": {
        "en": "The receiver answered 410: it wants no more messages. Its endpoint is disabled; enable it where that was"
        " a mistake.",
        "de": "Der Empfänger hat mit 410 geantwortet: Er will keine Nachrichten mehr. Sein Endpunkt ist abgeschaltet;"
        " schalten Sie ihn wieder ein, wenn das ein Irrtum war.",
        "fr": "Le destinataire a répondu 410 : il ne veut plus de messages. Son point d'accès est désactivé ;"
        " réactivez-le s'il s'agissait d'une erreur.",
        "hu": "A fogadó 410-zel válaszolt: nem kér több üzenetet. A végpontja le van tiltva; engedélyezze újra, ha ez"
        " tévedés volt.",
    },
    "webhook_address_gone": {
        "en": "The receiver answered 410: it wants no messages at this address. Give another callback_url to the next"
        " task.",
        "de": "Der Empfänger hat mit 410 geantwortet: An dieser Adresse will er keine Nachrichten. Geben Sie der"
        " nächsten Aufgabe eine andere callback_url.",
        "fr": "Le destinataire a répondu 410 : il ne veut pas de messages à cette adresse. Indiquez une autre"
        " callback_url à la prochaine tâche.",
        "hu": "A fogadó 410-zel válaszolt: ezen a címen nem kér üzeneteket. A következő feladatnak adjon meg másik"
        " callback_url címet.",
    },
    "webhook_unanswered": {
        "en": "The receiver did not answer: {reason}. It is tried again; if that goes on, check its address.",
        "de": "Der Empfänger hat nicht geantwortet: {reason}. Es wird wieder versucht; bleibt es dabei, prüfen Sie"
        " seine Adresse.",
        "fr": "Le destinataire n'a pas répondu : {reason}. Un nouvel essai aura lieu ; si cela persiste, vérifiez son"
        " adresse.",
        "hu": "A fogadó nem válaszolt: {reason}. Újra próbálkozunk; ha továbbra sem sikerül, ellenőrizze a címét.",
    },
    "webhook_address_refused": {
        "en": "The receiver's address is not public. Give a public one, or ask the operator to allow its network in"
        " TASKYARD_OUTBOUND_NETWORKS.",
        "de": "Die Adresse des Empfängers ist nicht öffentlich. Geben Sie eine öffentliche an, oder bitten Sie den"
        " Betreiber, ihr Netz in TASKYARD_OUTBOUND_NETWORKS zu erlauben.",
        "fr": "L'adresse du destinataire n'est pas publique. Donnez-en une qui l'est, ou demandez à l'exploitant"
        " d'autoriser son réseau dans TASKYARD_OUTBOUND_NETWORKS.",
        "hu": "A fogadó címe nem nyilvános. Adjon meg nyilvános címet, vagy kérje meg az üzemeltetőt, hogy"
        " engedélyezze a hálózatát a TASKYARD_OUTBOUND_NETWORKS beállításban.",
    },
}

PHRASES: dict[str, Words] = {
    "webhook_unresolved": {
        "en": "the name of its host is not known",
        "de": "der Name seines Rechners ist nicht bekannt",
        "fr": "le nom de son hôte est inconnu",
        "hu": "a gépének neve nem ismert",
    },
    "webhook_unreachable": {
        "en": "there is no connection to it",
        "de": "es kommt keine Verbindung zustande",
        "fr": "la connexion ne s'établit pas",
        "hu": "nem jön létre kapcsolat",
    },
    "webhook_tls": {
        "en": "its certificate is not valid",
        "de": "sein Zertifikat ist nicht gültig",
        "fr": "son certificat n'est pas valide",
        "hu": "a tanúsítványa nem érvényes",
    },
    "webhook_slow": {
        "en": "it takes too long",
        "de": "er braucht zu lange",
        "fr": "il met trop de temps",
        "hu": "túl sokáig tart",
    },
    "webhook_broken": {
        "en": "the connection ended before the answer, or the answer is not HTTP",
        "de": "die Verbindung endete vor der Antwort, oder die Antwort ist kein HTTP",
        "fr": "la connexion a pris fin avant la réponse, ou la réponse n'est pas du HTTP",
        "hu": "a kapcsolat a válasz előtt megszakadt, vagy a válasz nem HTTP",
    },
    "webhook_redirects": {
        "en": "it redirects too often, or to where nothing may be sent",
        "de": "er leitet zu oft um, oder dorthin, wohin nichts gesendet werden darf",
        "fr": "il redirige trop souvent, ou vers une adresse où rien ne peut être envoyé",
        "hu": "túl sokszor irányít át, vagy olyan helyre, ahová nem szabad küldeni",
    },
}

"""What people are told of the errors of email.*, and the values in them that are phrases."""

from __future__ import annotations

from taskyard.catalogue.words import Words

ERRORS: dict[str, Words] = {
    "smtp_not_configured": {
        "en": "This installation has no mail server. Ask its operator to set TASKYARD_SMTP_HOST.",
        "de": "Diese Installation hat keinen Mailserver. Bitten Sie ihren Betreiber, TASKYARD_SMTP_HOST zu setzen.",
        "fr": "Cette installation n'a pas de serveur de messagerie. Demandez à son exploitant de définir"
        " TASKYARD_SMTP_HOST.",
        "hu": "Ehhez a telepítéshez nem tartozik levelezőkiszolgáló. Kérje meg az üzemeltetőt, hogy állítsa be a"
        " TASKYARD_SMTP_HOST értékét.",
    },
    "smtp_unreachable": {
        "en": "The mail server does not answer. It is tried again; if that goes on, ask the operator.",
        "de": "Der Mailserver antwortet nicht. Es wird wieder versucht; bleibt es dabei, fragen Sie den Betreiber.",
        "fr": "Le serveur de messagerie ne répond pas. Un nouvel essai aura lieu ; si cela persiste, adressez-vous à"
        " l'exploitant.",
        "hu": "A levelezőkiszolgáló nem válaszol. Újra próbálkozunk; ha továbbra sem sikerül, forduljon az"
        " üzemeltetőhöz.",
    },
    "smtp_no_verdict": {
        "en": "The mail server was sent the whole message and did not answer: whether it arrived is unknown. It is sent"
        " again with the same Message-ID, so the recipient may get it twice.",
        "de": "Der Mailserver hat die ganze Nachricht erhalten und nicht geantwortet: Ob sie ankam, ist unbekannt. Sie"
        " wird mit derselben Message-ID noch einmal gesendet und kann deshalb zweimal ankommen.",
        "fr": "Le serveur de messagerie a reçu tout le message et n'a pas répondu : on ne sait pas s'il est arrivé. Il"
        " est renvoyé avec le même Message-ID, et le destinataire peut donc le recevoir deux fois.",
        "hu": "A levelezőkiszolgáló a teljes üzenetet megkapta, de nem válaszolt: nem tudni, megérkezett-e. Ugyanazzal"
        " a Message-ID-vel újra elküldjük, ezért a címzett kétszer is megkaphatja.",
    },
    "smtp_not_smtp": {
        "en": "What answers at the address of the mail server does not speak SMTP. Ask the operator to check"
        " TASKYARD_SMTP_HOST and TASKYARD_SMTP_PORT.",
        "de": "Was unter der Adresse des Mailservers antwortet, spricht kein SMTP. Bitten Sie den Betreiber,"
        " TASKYARD_SMTP_HOST und TASKYARD_SMTP_PORT zu prüfen.",
        "fr": "Ce qui répond à l'adresse du serveur de messagerie ne parle pas SMTP. Demandez à l'exploitant de"
        " vérifier TASKYARD_SMTP_HOST et TASKYARD_SMTP_PORT.",
        "hu": "Ami a levelezőkiszolgáló címén válaszol, nem SMTP-t beszél. Kérje meg az üzemeltetőt, hogy ellenőrizze a"
        " TASKYARD_SMTP_HOST és a TASKYARD_SMTP_PORT értékét.",
    },
    "smtp_temporary": {
        "en": "The mail server cannot take the message now ({answer}). It is tried again later.",
        "de": "Der Mailserver kann die Nachricht jetzt nicht annehmen ({answer}). Es wird später wieder versucht.",
        "fr": "Le serveur de messagerie ne peut pas accepter le message pour l'instant ({answer}). Un nouvel essai"
        " aura lieu plus tard.",
        "hu": "A levelezőkiszolgáló most nem tudja átvenni az üzenetet ({answer}). Később újra próbálkozunk.",
    },
    "smtp_refused": {
        "en": "The mail server refused {what} ({answer}). Check the address and the message, then send it anew.",
        "de": "Der Mailserver hat {what} abgelehnt ({answer}). Prüfen Sie Adresse und Nachricht und senden Sie sie"
        " neu.",
        "fr": "Le serveur de messagerie a refusé {what} ({answer}). Vérifiez l'adresse et le message, puis"
        " renvoyez-le.",
        "hu": "A levelezőkiszolgáló elutasította {what} ({answer}). Ellenőrizze a címet és az üzenetet, majd küldje"
        " el újra.",
    },
    "smtp_auth_failed": {
        "en": "The mail server does not accept this installation's login. Ask its operator to check"
        " TASKYARD_SMTP_USER and TASKYARD_SMTP_PASSWORD.",
        "de": "Der Mailserver nimmt die Anmeldung dieser Installation nicht an. Bitten Sie ihren Betreiber,"
        " TASKYARD_SMTP_USER und TASKYARD_SMTP_PASSWORD zu prüfen.",
        "fr": "Le serveur de messagerie n'accepte pas l'identification de cette installation. Demandez à son"
        " exploitant de vérifier TASKYARD_SMTP_USER et TASKYARD_SMTP_PASSWORD.",
        "hu": "A levelezőkiszolgáló nem fogadja el a telepítés bejelentkezését. Kérje meg az üzemeltetőt, hogy"
        " ellenőrizze a TASKYARD_SMTP_USER és a TASKYARD_SMTP_PASSWORD értékét.",
    },
    "smtp_tls_failed": {
        "en": "There is no safe connection to the mail server: {answer}. Ask the operator to check its certificate"
        " and TASKYARD_SMTP_SECURITY.",
        "de": "Es gibt keine sichere Verbindung zum Mailserver: {answer}. Bitten Sie den Betreiber, das Zertifikat"
        " des Servers und TASKYARD_SMTP_SECURITY zu prüfen.",
        "fr": "Aucune connexion sûre avec le serveur de messagerie : {answer}. Demandez à l'exploitant de vérifier"
        " son certificat et TASKYARD_SMTP_SECURITY.",
        "hu": "Nincs biztonságos kapcsolat a levelezőkiszolgálóval: {answer}. Kérje meg az üzemeltetőt, hogy"
        " ellenőrizze a tanúsítványát és a TASKYARD_SMTP_SECURITY értékét.",
    },
    "smtp_unsupported": {
        "en": "The mail server cannot deliver to an address with letters beyond ASCII. Use another address of the"
        " recipient.",
        "de": "Der Mailserver kann an eine Adresse mit Zeichen außerhalb von ASCII nicht zustellen. Nehmen Sie eine"
        " andere Adresse des Empfängers.",
        "fr": "Le serveur de messagerie ne peut pas distribuer à une adresse contenant des caractères hors ASCII."
        " Utilisez une autre adresse du destinataire.",
        "hu": "A levelezőkiszolgáló nem tud olyan címre kézbesíteni, amelyben nem ASCII betűk vannak. Használja a"
        " címzett egy másik címét.",
    },
    "smtp_sender_invalid": {
        "en": "The sender's address of this installation is not valid. Ask its operator to correct TASKYARD_MAIL_FROM.",
        "de": "Die Absenderadresse dieser Installation ist nicht gültig. Bitten Sie ihren Betreiber,"
        " TASKYARD_MAIL_FROM zu berichtigen.",
        "fr": "L'adresse d'expéditeur de cette installation n'est pas valide. Demandez à son exploitant de corriger"
        " TASKYARD_MAIL_FROM.",
        "hu": "A telepítés feladócíme érvénytelen. Kérje meg az üzemeltetőt, hogy javítsa a TASKYARD_MAIL_FROM"
        " értékét.",
    },
    "html_unreadable": {
        "en": "No text can be made of html_content, which is not valid HTML. Correct it, or give the text as well.",
        "de": "Aus html_content, das kein gültiges HTML ist, lässt sich kein Text machen. Berichtigen Sie es, oder"
        " geben Sie den Text dazu.",
        "fr": "Aucun texte ne peut être tiré de html_content, qui n'est pas du HTML valide. Corrigez-le, ou donnez"
        " aussi le texte.",
        "hu": "A html_content nem érvényes HTML, ezért nem készíthető belőle szöveg. Javítsa ki, vagy adja meg a"
        " szöveget is.",
    },
    "message_invalid": {
        "en": "This message cannot be written as a mail. Use plainer words in its subject.",
        "de": "Diese Nachricht lässt sich nicht als Mail schreiben. Nehmen Sie schlichtere Worte im Betreff.",
        "fr": "Ce message ne peut pas être écrit comme courriel. Utilisez un objet plus simple.",
        "hu": "Ez az üzenet nem írható meg levélként. Fogalmazza meg egyszerűbben a tárgyát.",
    },
}

NEWSLETTER_ERRORS: dict[str, Words] = {
    "recipients_unreadable": {
        "en": "This file is no list of recipients: line {line} has more than {limit} bytes. Give one address, or one"
        " JSON object, on each line.",
        "de": "Diese Datei ist keine Liste von Empfängern: Zeile {line} hat mehr als {limit} Bytes. Geben Sie in jeder"
        " Zeile eine Adresse oder ein JSON-Objekt an.",
        "fr": "Ce fichier n'est pas une liste de destinataires : la ligne {line} compte plus de {limit} octets. Donnez"
        " une adresse, ou un objet JSON, par ligne.",
        "hu": "Ez a fájl nem címzettek listája: a(z) {line}. sor több mint {limit} bájt. Soronként egy címet vagy egy"
        " JSON-objektumot adjon meg.",
    },
    "too_many_recipients": {
        "en": "This list has {count} recipients; a newsletter takes {limit} at most. Split the list.",
        "de": "Diese Liste hat {count} Empfänger; ein Newsletter nimmt höchstens {limit}. Teilen Sie die Liste.",
        "fr": "Cette liste compte {count} destinataires ; une lettre d'information en accepte {limit} au plus. Divisez"
        " la liste.",
        "hu": "Ebben a listában {count} címzett van; egy hírlevél legfeljebb {limit} címzettet fogad el. Ossza fel a"
        " listát.",
    },
    "placeholder_unknown": {
        "en": "The newsletter has the placeholder {name}, which is not known. Use {known}.",
        "de": "Der Newsletter hat den Platzhalter {name}, den es nicht gibt. Nehmen Sie {known}.",
        "fr": "La lettre d'information contient le paramètre {name}, qui n'existe pas. Utilisez {known}.",
        "hu": "A hírlevélben ismeretlen helyőrző van: {name}. Használja ezt: {known}.",
    },
    "newsletter_too_large": {
        "en": "The newsletter is too large for one message. Shorten it, or link to pictures and documents.",
        "de": "Der Newsletter ist für eine Nachricht zu groß. Kürzen Sie ihn, oder verlinken Sie Bilder und Dokumente.",
        "fr": "La lettre d'information est trop grande pour un message. Raccourcissez-la, ou mettez des liens vers les"
        " images et documents.",
        "hu": "A hírlevél túl nagy egy üzenethez. Rövidítse le, vagy tegyen bele hivatkozást a képekre és"
        " dokumentumokra.",
    },
}

PHRASES: dict[str, Words] = {
    "recipient": {
        "en": "the recipient",
        "de": "den Empfänger",
        "fr": "le destinataire",
        "hu": "a címzettet",
    },
    "sender": {
        "en": "the sender",
        "de": "den Absender",
        "fr": "l'expéditeur",
        "hu": "a feladót",
    },
    "login": {
        "en": "the login",
        "de": "die Anmeldung",
        "fr": "l'identification",
        "hu": "a bejelentkezést",
    },
    "message": {
        "en": "the message",
        "de": "die Nachricht",
        "fr": "le message",
        "hu": "az üzenetet",
    },
    "no_starttls": {
        "en": "it does not offer STARTTLS",
        "de": "er bietet kein STARTTLS an",
        "fr": "il ne propose pas STARTTLS",
        "hu": "nem kínál STARTTLS-t",
    },
}

"""What people are told of the errors of payments, and the values in them that are phrases."""

from __future__ import annotations

from taskyard.catalogue.words import Words
from taskyard_kits import servers

_DECLINES: dict[str, Words] = {
    "card_not_supported": {
        "en": "the card cannot be used for this kind of purchase",
        "de": "die Karte kann für diese Art von Kauf nicht verwendet werden",
        "fr": "la carte ne peut pas servir à ce type d'achat",
        "hu": "a kártya ilyen vásárlásra nem használható",
    },
    "card_velocity_exceeded": {
        "en": "the card has reached its limit",
        "de": "das Limit der Karte ist erreicht",
        "fr": "la carte a atteint son plafond",
        "hu": "a kártya elérte a limitjét",
    },
    "currency_not_supported": {
        "en": "the card does not take this currency",
        "de": "die Karte nimmt diese Währung nicht an",
        "fr": "la carte n'accepte pas cette devise",
        "hu": "a kártya nem fogadja el ezt a pénznemet",
    },
    "expired_card": {
        "en": "the card has expired",
        "de": "die Karte ist abgelaufen",
        "fr": "la carte a expiré",
        "hu": "a kártya lejárt",
    },
    "incorrect_cvc": {
        "en": "the security code is wrong",
        "de": "die Prüfziffer ist falsch",
        "fr": "le cryptogramme est incorrect",
        "hu": "a biztonsági kód hibás",
    },
    "incorrect_number": {
        "en": "the card number is wrong",
        "de": "die Kartennummer ist falsch",
        "fr": "le numéro de carte est incorrect",
        "hu": "a kártyaszám hibás",
    },
    "insufficient_funds": {
        "en": "there is not enough money on the account",
        "de": "das Konto ist nicht ausreichend gedeckt",
        "fr": "la provision est insuffisante",
        "hu": "nincs elég fedezet a számlán",
    },
    "invalid_account": {
        "en": "the card or its account is not valid",
        "de": "die Karte oder ihr Konto ist nicht gültig",
        "fr": "la carte ou son compte n'est pas valide",
        "hu": "a kártya vagy a számlája érvénytelen",
    },
    "processing_error": {
        "en": "an error happened while the card was processed",
        "de": "bei der Verarbeitung der Karte ist ein Fehler aufgetreten",
        "fr": "une erreur s'est produite pendant le traitement de la carte",
        "hu": "hiba történt a kártya feldolgozása közben",
    },
    "other": {
        "en": "the bank gives no reason that may be told",
        "de": "die Bank nennt keinen Grund, der weitergegeben werden darf",
        "fr": "la banque ne donne pas de motif communicable",
        "hu": "a bank nem közöl továbbadható okot",
    },
}
DECLINES = frozenset(_DECLINES)
PHRASES: dict[str, Words] = {**servers.PHRASES, **{f"decline_{code}": words for code, words in _DECLINES.items()}}

_ANEW = {
    "en": "The card may have been charged. If this task has failed, retry it later, and submit no other one: it looks"
    " up first what has been charged, and charges once.",
    "de": "Die Karte wurde vielleicht belastet. Ist diese Aufgabe gescheitert, wiederholen Sie sie später, und reichen"
    " Sie keine andere ein: Sie sieht erst nach, was belastet wurde, und belastet einmal.",
    "fr": "La carte a peut-être été débitée. Si cette tâche a échoué, relancez-la plus tard, sans en soumettre d'autre"
    " : elle vérifie d'abord ce qui a été débité, et ne débite qu'une fois.",
    "hu": "Lehet, hogy a kártya már meg lett terhelve. Ha ez a feladat meghiúsult, később ismételje meg, és ne küldjön"
    " be másikat: először megnézi, mi lett már megterhelve, és csak egyszer terhel.",
}


def _then_anew(words: Words) -> Words:
    return {language: f"{sentence} {_ANEW[language]}" for language, sentence in words.items()}


# After these, the card may have been charged.
_UNKNOWN: dict[str, Words] = {
    "stripe_unanswered": {
        "en": "Stripe does not answer: {reason}.",
        "de": "Stripe antwortet nicht: {reason}.",
        "fr": "Stripe ne répond pas : {reason}.",
        "hu": "A Stripe nem válaszol: {reason}.",
    },
    "stripe_failed": {
        "en": "Stripe answered with the status {status}.",
        "de": "Stripe hat mit dem Status {status} geantwortet.",
        "fr": "Stripe a répondu avec le statut {status}.",
        "hu": "A Stripe {status} állapottal válaszolt.",
    },
    "stripe_unreadable": {
        "en": "Stripe's answer is not the one that this payment should have.",
        "de": "Die Antwort von Stripe ist nicht die, die zu dieser Zahlung gehört.",
        "fr": "La réponse de Stripe n'est pas celle qui correspond à ce paiement.",
        "hu": "A Stripe válasza nem ehhez a fizetéshez tartozik.",
    },
    # By an earlier attempt, or by a call that still runs.
    "stripe_busy": {
        "en": "Stripe asks for fewer calls, or still answers an earlier one.",
        "de": "Stripe bittet um weniger Aufrufe oder beantwortet noch einen früheren.",
        "fr": "Stripe demande moins d'appels, ou répond encore à un appel précédent.",
        "hu": "A Stripe kevesebb hívást kér, vagy még egy korábbira válaszol.",
    },
}
ERRORS: dict[str, Words] = {
    **{code: _then_anew(words) for code, words in _UNKNOWN.items()},
    "stripe_key_refused": {
        "en": "Stripe does not accept the key of this installation. Ask its operator to set STRIPE_SECRET_KEY, then"
        " retry this task, and submit no other one: it looks up first what earlier attempts have charged.",
        "de": "Stripe nimmt den Schlüssel dieser Installation nicht an. Bitten Sie ihren Betreiber, STRIPE_SECRET_KEY"
        " zu setzen, wiederholen Sie dann diese Aufgabe, und reichen Sie keine andere ein: Sie sieht erst nach, was"
        " frühere Versuche belastet haben.",
        "fr": "Stripe n'accepte pas la clé de cette installation. Demandez à son exploitant de définir"
        " STRIPE_SECRET_KEY, puis relancez cette tâche, sans en soumettre d'autre : elle vérifie d'abord ce que les"
        " essais précédents ont débité.",
        "hu": "A Stripe nem fogadja el ennek a telepítésnek a kulcsát. Kérje meg az üzemeltetőt, hogy állítsa be a"
        " STRIPE_SECRET_KEY értékét, majd ismételje meg ezt a feladatot, és ne küldjön be másikat: először megnézi,"
        " mit terheltek meg a korábbi kísérletek.",
    },
    "stripe_not_configured": {
        "en": "This installation has no account at Stripe. Ask its operator to set STRIPE_SECRET_KEY, then retry this"
        " task.",
        "de": "Diese Installation hat kein Konto bei Stripe. Bitten Sie ihren Betreiber, STRIPE_SECRET_KEY zu setzen,"
        " und wiederholen Sie dann diese Aufgabe.",
        "fr": "Cette installation n'a pas de compte Stripe. Demandez à son exploitant de définir STRIPE_SECRET_KEY,"
        " puis relancez cette tâche.",
        "hu": "Ehhez a telepítéshez nem tartozik Stripe-fiók. Kérje meg az üzemeltetőt, hogy állítsa be a"
        " STRIPE_SECRET_KEY értékét, majd ismételje meg ezt a feladatot.",
    },
    "amount_too_fine": {
        "en": "The amount has too many decimals: {currency} has {decimals}. Submit a rounded one.",
        "de": "Der Betrag hat zu viele Nachkommastellen: {currency} hat {decimals}. Reichen Sie einen gerundeten ein.",
        "fr": "Le montant a trop de décimales : {currency} en a {decimals}. Soumettez un montant arrondi.",
        "hu": "Az összegnek túl sok tizedesjegye van: {currency} esetén {decimals} lehet. Küldjön be kerekített"
        " összeget.",
    },
    "payment_declined": {
        "en": "The card was declined: {reason} ({decline_code}). Nothing was charged. Ask the customer for another card"
        " or to speak to the bank, then submit a new payment.",
        "de": "Die Karte wurde abgelehnt: {reason} ({decline_code}). Es wurde nichts belastet. Bitten Sie den Kunden um"
        " eine andere Karte oder darum, mit der Bank zu sprechen, und reichen Sie dann eine neue Zahlung ein.",
        "fr": "La carte a été refusée : {reason} ({decline_code}). Rien n'a été débité. Demandez au client une autre"
        " carte ou de s'adresser à sa banque, puis soumettez un nouveau paiement.",
        "hu": "A kártyát elutasították: {reason} ({decline_code}). Nem történt terhelés. Kérjen az ügyféltől másik"
        " kártyát, vagy kérje, hogy beszéljen a bankjával, majd küldjön be új fizetést.",
    },
    "payment_needs_customer": {
        "en": "The bank wants the customer to confirm this payment, which a task in the background cannot do. Nothing"
        " was charged. Let the customer pay in your application.",
        "de": "Die Bank verlangt, dass der Kunde diese Zahlung bestätigt; das kann eine Aufgabe im Hintergrund nicht."
        " Es wurde nichts belastet. Lassen Sie den Kunden in Ihrer Anwendung zahlen.",
        "fr": "La banque demande que le client confirme ce paiement, ce qu'une tâche en arrière-plan ne peut pas faire."
        " Rien n'a été débité. Faites payer le client dans votre application.",
        "hu": "A bank azt kéri, hogy az ügyfél erősítse meg a fizetést; erre a háttérben futó feladat nem képes. Nem"
        " történt terhelés. Az ügyfél az Ön alkalmazásában fizessen.",
    },
    "payment_unsettled": {
        "en": "The payment {transaction_id} is in the state {status} at Stripe. Look at it in Stripe's dashboard before"
        " you charge again.",
        "de": "Die Zahlung {transaction_id} hat bei Stripe den Status {status}. Sehen Sie sie im Dashboard von Stripe"
        " an, bevor Sie noch einmal belasten.",
        "fr": "Le paiement {transaction_id} est dans l'état {status} chez Stripe. Consultez-le dans le tableau de bord"
        " de Stripe avant de débiter de nouveau.",
        "hu": "A(z) {transaction_id} fizetés állapota a Stripe-nál: {status}. Nézze meg a Stripe kezelőfelületén,"
        " mielőtt újra terhelne.",
    },
    "payment_unverified": {
        "en": "An earlier attempt may have charged the card, and Stripe does not let this account or its key look it"
        " up. Look in Stripe's dashboard before you charge again.",
        "de": "Ein früherer Versuch hat die Karte vielleicht belastet, und Stripe lässt dieses Konto oder seinen"
        " Schlüssel nicht danach suchen. Sehen Sie im Dashboard von Stripe nach, bevor Sie noch einmal belasten.",
        "fr": "Un essai précédent a peut-être débité la carte, et Stripe ne permet pas à ce compte ou à sa clé de le"
        " rechercher. Vérifiez dans le tableau de bord de Stripe avant de débiter de nouveau.",
        "hu": "Egy korábbi kísérlet talán már megterhelte a kártyát, és a Stripe nem engedi, hogy ez a fiók vagy a"
        " kulcsa rákeressen. Nézze meg a Stripe kezelőfelületén, mielőtt újra terhelne.",
    },
    "payment_refused": {
        "en": "Stripe refuses the payment: {reason}. Nothing was charged. Correct the parameters, then submit a new"
        " payment.",
        "de": "Stripe lehnt die Zahlung ab: {reason}. Es wurde nichts belastet. Berichtigen Sie die Parameter, und"
        " reichen Sie dann eine neue Zahlung ein.",
        "fr": "Stripe refuse le paiement : {reason}. Rien n'a été débité. Corrigez les paramètres, puis soumettez un"
        " nouveau paiement.",
        "hu": "A Stripe visszautasítja a fizetést: {reason}. Nem történt terhelés. Javítsa ki a paramétereket, majd"
        " küldjön be új fizetést.",
    },
    "payment_key_reused": {
        "en": "Stripe knows this task with other parameters. Look in Stripe's dashboard for what was charged for it"
        " before you charge again.",
        "de": "Stripe kennt diese Aufgabe mit anderen Parametern. Sehen Sie im Dashboard von Stripe nach, was für sie"
        " belastet wurde, bevor Sie noch einmal belasten.",
        "fr": "Stripe connaît cette tâche avec d'autres paramètres. Vérifiez dans le tableau de bord de Stripe ce qui a"
        " été débité pour elle avant de débiter de nouveau.",
        "hu": "A Stripe más paraméterekkel ismeri ezt a feladatot. Nézze meg a Stripe kezelőfelületén, mit terheltek"
        " miatta, mielőtt újra terhelne.",
    },
}

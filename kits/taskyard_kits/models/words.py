"""What people are told of the errors of providers, and the values in them that are phrases."""

from __future__ import annotations

from taskyard.catalogue.words import Words
from taskyard_kits import servers

# health.check tells these, too.
OF_PROVIDERS: dict[str, Words] = {
    "provider_unanswered": {
        "en": "The provider {provider} does not answer: {reason}. If that goes on, ask the operator to look at it.",
        "de": "Der Anbieter {provider} antwortet nicht: {reason}. Bleibt es dabei, bitten Sie den Betreiber,"
        " nachzusehen.",
        "fr": "Le fournisseur {provider} ne répond pas : {reason}. Si cela persiste, demandez à l'exploitant de"
        " vérifier.",
        "hu": "A szolgáltató ({provider}) nem válaszol: {reason}. Ha ez így marad, kérje meg az üzemeltetőt,"
        " hogy nézzen utána.",
    },
    "provider_refused": {
        "en": "The provider {provider} answered with the status {status}. If that goes on, ask the operator to"
        " check its address,"
        " its key and its log.",
        "de": "Der Anbieter {provider} hat mit dem Status {status} geantwortet. Bleibt es dabei, bitten Sie den"
        " Betreiber, die"
        " Adresse, den Schlüssel und das Protokoll zu prüfen.",
        "fr": "Le fournisseur {provider} a répondu avec le statut {status}. Si cela persiste, demandez à"
        " l'exploitant de vérifier"
        " l'adresse, la clé et le journal.",
        "hu": "A szolgáltató ({provider}) {status} állapottal válaszolt. Ha ez így marad, kérje meg az"
        " üzemeltetőt, hogy ellenőrizze a"
        " címet, a kulcsot és a naplót.",
    },
}
ERRORS: dict[str, Words] = {
    **OF_PROVIDERS,
    "provider_key_refused": {
        "en": "The provider {provider} does not accept the key. Ask the operator to set the right one (for LiteLLM:"
        " LITELLM_API_KEY), then try again.",
        "de": "Der Anbieter {provider} nimmt den Schlüssel nicht an. Bitten Sie den Betreiber, den richtigen zu"
        " setzen (für LiteLLM:"
        " LITELLM_API_KEY), und versuchen Sie es dann wieder.",
        "fr": "Le fournisseur {provider} n'accepte pas la clé. Demandez à l'exploitant d'indiquer la bonne"
        " (pour LiteLLM :"
        " LITELLM_API_KEY), puis réessayez.",
        "hu": "A szolgáltató ({provider}) nem fogadja el a kulcsot. Kérje meg az üzemeltetőt, hogy adja meg a"
        " helyeset (LiteLLM esetén:"
        " LITELLM_API_KEY), majd próbálja újra.",
    },
    "provider_unreadable": {
        "en": "What {provider} answered is no list of models, or one of more than {limit}. Ask the operator to check"
        " its address.",
        "de": "Die Antwort von {provider} ist keine Liste von Modellen, oder eine mit mehr als {limit}. Bitten Sie den"
        " Betreiber, die Adresse zu prüfen.",
        "fr": "La réponse de {provider} n'est pas une liste de modèles, ou en compte plus de {limit}. Demandez à"
        " l'exploitant de vérifier l'adresse.",
        "hu": "A szolgáltató ({provider}) válasza nem modellek listája, vagy {limit} modellnél többet sorol"
        " fel. Kérje meg az"
        " üzemeltetőt, hogy ellenőrizze a címet.",
    },
    "cache_unavailable": {
        "en": "Redis does not answer, so the lists were not stored. It is tried again; if that goes on, ask the"
        " operator.",
        "de": "Redis antwortet nicht, daher wurden die Listen nicht gespeichert. Es wird wieder versucht; bleibt es"
        " dabei, fragen Sie den Betreiber.",
        "fr": "Redis ne répond pas, les listes n'ont donc pas été enregistrées. Un nouvel essai aura lieu ; si cela"
        " persiste, adressez-vous à l'exploitant.",
        "hu": "A Redis nem válaszol, ezért a listák nem lettek eltárolva. Újra próbálkozunk; ha továbbra sem sikerül,"
        " forduljon az üzemeltetőhöz.",
    },
}
PHRASES = servers.PHRASES

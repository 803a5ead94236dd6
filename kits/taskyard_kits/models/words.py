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
    "provider_busy": {
        "en": "The provider {provider} asks for fewer calls. If that goes on, ask the operator to raise its limits.",
        "de": "Der Anbieter {provider} bittet um weniger Aufrufe. Bleibt es dabei, bitten Sie den Betreiber, seine"
        " Grenzen zu erhöhen.",
        "fr": "Le fournisseur {provider} demande moins d'appels. Si cela persiste, demandez à l'exploitant de relever"
        " ses limites.",
        "hu": "A szolgáltató ({provider}) kevesebb hívást kér. Ha ez így marad, kérje meg az üzemeltetőt, hogy emelje"
        " meg a korlátait.",
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
        "en": "What {provider} answered is no list of models. Ask the operator to check its address.",
        "de": "Die Antwort von {provider} ist keine Liste von Modellen. Bitten Sie den Betreiber, die Adresse zu"
        " prüfen.",
        "fr": "La réponse de {provider} n'est pas une liste de modèles. Demandez à l'exploitant de vérifier l'adresse.",
        "hu": "A szolgáltató ({provider}) válasza nem modellek listája. Kérje meg az üzemeltetőt, hogy ellenőrizze a"
        " címet.",
    },
    "provider_list_too_long": {
        "en": "The list of {provider} has more than {limit} models, or more than {megabytes} MiB. Ask the operator to"
        " offer fewer models there.",
        "de": "Die Liste von {provider} hat mehr als {limit} Modelle oder mehr als {megabytes} MiB. Bitten Sie den"
        " Betreiber, dort weniger Modelle anzubieten.",
        "fr": "La liste de {provider} compte plus de {limit} modèles, ou plus de {megabytes} Mio. Demandez à"
        " l'exploitant d'y proposer moins de modèles.",
        "hu": "A szolgáltató ({provider}) listája {limit} modellnél vagy {megabytes} MiB-nál hosszabb. Kérje meg az"
        " üzemeltetőt, hogy kevesebb modellt kínáljon ott.",
    },
    "cache_unavailable": {
        "en": "Redis does not answer, so the lists were not stored. If that goes on, ask the operator to look at it.",
        "de": "Redis antwortet nicht, daher wurden die Listen nicht gespeichert. Bleibt es dabei, bitten Sie den"
        " Betreiber, nachzusehen.",
        "fr": "Redis ne répond pas, les listes n'ont donc pas été enregistrées. Si cela persiste, demandez à"
        " l'exploitant de vérifier.",
        "hu": "A Redis nem válaszol, ezért a listák nem lettek eltárolva. Ha ez így marad, kérje meg az üzemeltetőt,"
        " hogy nézzen utána.",
    },
}
PHRASES = servers.PHRASES

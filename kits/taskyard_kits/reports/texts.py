"""The words of reports, in each language."""

from __future__ import annotations

from taskyard.catalogue.words import Words

TEXTS: dict[str, Words] = {
    "tasks_title": {"en": "Tasks", "de": "Aufgaben", "fr": "Tâches", "hu": "Feladatok"},
    "queues_title": {"en": "Queues", "de": "Warteschlangen", "fr": "Files d'attente", "hu": "Várólisták"},
    "analytics_title": {"en": "Analytics", "de": "Nutzung", "fr": "Utilisation", "hu": "Használat"},
    "period": {
        "en": "{start} to {end} ({zone})",
        "de": "{start} bis {end} ({zone})",
        "fr": "{start} \N{EN DASH} {end} ({zone})",
        "hu": "{start} \N{EN DASH} {end} ({zone})",
    },
    "made_at": {
        "en": "Made on {at}", "de": "Erstellt am {at}", "fr": "Établi le {at}", "hu": "Készült: {at}",
    },
    "only_queues": {
        "en": "Only the queues that the API key may see: {queues}.",
        "de": "Nur die Warteschlangen, die der API-Schlüssel sehen darf: {queues}.",
        "fr": "Seulement les files que la clé d'API peut voir : {queues}.",
        "hu": "Csak az API-kulcs számára látható várólisták: {queues}.",
    },
    "partial": {
        "en": "This report is partial: the time was too short to read these parts: {missing}.",
        "de": "Dieser Bericht ist unvollständig: Die Zeit war zu kurz, um diese Teile zu lesen: {missing}.",
        "fr": "Ce rapport est partiel : le temps était trop court pour lire ces parties : {missing}.",
        "hu": "Ez a jelentés részleges: az idő túl rövid volt e részek elolvasásához: {missing}.",
    },
    "page": {
        "en": "Page {page} of {pages}", "de": "Seite {page} von {pages}", "fr": "Page {page} sur {pages}",
        "hu": "{page}. oldal, összesen {pages}",
    },
    "nothing": {
        "en": "Nothing was found in this period.",
        "de": "In diesem Zeitraum wurde nichts gefunden.",
        "fr": "Rien n'a été trouvé pour cette période.",
        "hu": "Ebben az időszakban nem található adat.",
    },
    "more_rows": {
        "en": "{rows} more rows are not shown.",
        "de": "{rows} weitere Zeilen sind nicht gezeigt.",
        "fr": "{rows} autres lignes ne sont pas montrées.",
        "hu": "További {rows} sor nem látható.",
    },
    "requests_hidden": {
        "en": "Requests are not shown to API keys that are restricted to queues.",
        "de": "Anfragen werden API-Schlüsseln nicht gezeigt, die auf Warteschlangen beschränkt sind.",
        "fr": "Les requêtes ne sont pas montrées aux clés d'API limitées à des files.",
        "hu": "A kérések nem láthatók olyan API-kulcsoknak, amelyek várólistákra vannak korlátozva.",
    },
    "submitted_then": {
        "en": "Tasks that were submitted in this period, and what has become of them until now.",
        "de": "Aufgaben, die in diesem Zeitraum eingereicht wurden, und was bis jetzt aus ihnen geworden ist.",
        "fr": "Les tâches soumises pendant cette période, et ce qu'elles sont devenues jusqu'à présent.",
        "hu": "Az ebben az időszakban beküldött feladatok, és hogy eddig mi lett velük.",
    },
    "late_means": {
        "en": "95 %: nineteen of twenty took no longer. Waiting counts from when the latest attempt was due, running in"
        " those that succeeded.",
        "de": "95 %: Neunzehn von zwanzig brauchten nicht länger. Das Warten zählt ab der Fälligkeit des letzten"
        " Versuchs, die Laufzeit bei den erfolgreichen.",
        "fr": "95 % : dix-neuf sur vingt n'ont pas duré plus. L'attente compte depuis l'échéance de la dernière"
        " tentative, l'exécution pour celles qui ont réussi.",
        "hu": "95 %: húszból tizenkilenc nem tartott tovább. A várakozás az utolsó kísérlet esedékességétől számít, a"
        " futás a sikereseknél.",
    },
    "overview": {"en": "Overview", "de": "Überblick", "fr": "Aperçu", "hu": "Áttekintés"},
    "by_type": {"en": "By task type", "de": "Nach Aufgabentyp", "fr": "Par type de tâche", "hu": "Feladattípusonként"},
    "by_queue": {
        "en": "By queue", "de": "Nach Warteschlange", "fr": "Par file d'attente", "hu": "Várólistánként",
    },
    "failures": {"en": "Failures", "de": "Fehlschläge", "fr": "Échecs", "hu": "Hibák"},
    "queues_now": {
        "en": "Queues now", "de": "Warteschlangen jetzt", "fr": "Files d'attente maintenant", "hu": "Várólisták most",
    },
    "requests": {"en": "Requests", "de": "Anfragen", "fr": "Requêtes", "hu": "Kérések"},
    "by_route": {"en": "By route", "de": "Nach Route", "fr": "Par route", "hu": "Útvonalanként"},
    "models": {"en": "Models", "de": "Modelle", "fr": "Modèles", "hu": "Modellek"},
    "tasks": {"en": "Tasks", "de": "Aufgaben", "fr": "Tâches", "hu": "Feladatok"},
    "succeeded": {"en": "Succeeded", "de": "Erfolgreich", "fr": "Réussies", "hu": "Sikeres"},
    "failed": {"en": "Failed", "de": "Gescheitert", "fr": "Échouées", "hu": "Sikertelen"},
    "cancelled": {"en": "Cancelled", "de": "Abgebrochen", "fr": "Annulées", "hu": "Megszakított"},
    "unfinished": {"en": "Unfinished", "de": "Offen", "fr": "En cours", "hu": "Befejezetlen"},
    "type": {"en": "Task type", "de": "Aufgabentyp", "fr": "Type de tâche", "hu": "Feladattípus"},
    "queue": {"en": "Queue", "de": "Warteschlange", "fr": "File", "hu": "Várólista"},
    "code": {"en": "Error code", "de": "Fehlercode", "fr": "Code d'erreur", "hu": "Hibakód"},
    "wait": {"en": "Wait, mean", "de": "Warten, Mittel", "fr": "Attente, moy.", "hu": "Várakozás, átlag"},
    "late_wait": {
        "en": "Wait, 95\N{NO-BREAK SPACE}%", "de": "Warten, 95\N{NO-BREAK SPACE}%",
        "fr": "Attente, 95\N{NO-BREAK SPACE}%", "hu": "Várakozás, 95\N{NO-BREAK SPACE}%",
    },
    "run": {"en": "Run, mean", "de": "Laufzeit, Mittel", "fr": "Exécution, moy.", "hu": "Futás, átlag"},
    "late_run": {
        "en": "Run, 95\N{NO-BREAK SPACE}%", "de": "Laufzeit, 95\N{NO-BREAK SPACE}%",
        "fr": "Exécution, 95\N{NO-BREAK SPACE}%", "hu": "Futás, 95\N{NO-BREAK SPACE}%",
    },
    "state": {"en": "State", "de": "Zustand", "fr": "État", "hu": "Állapot"},
    "paused": {"en": "paused", "de": "angehalten", "fr": "en pause", "hu": "szünetel"},
    "open": {"en": "open", "de": "offen", "fr": "ouverte", "hu": "nyitott"},
    "queued": {"en": "Queued", "de": "Wartend", "fr": "En file", "hu": "Sorban"},
    "later": {"en": "Due later", "de": "Später fällig", "fr": "Dues plus tard", "hu": "Később esedékes"},
    "running": {"en": "Running", "de": "Laufend", "fr": "En exécution", "hu": "Fut"},
    "oldest": {"en": "Oldest waits", "de": "Älteste wartet", "fr": "Attente max.", "hu": "Legrégebbi vár"},
    "method": {"en": "Method", "de": "Methode", "fr": "Méthode", "hu": "Metódus"},
    "route": {"en": "Route", "de": "Route", "fr": "Route", "hu": "Útvonal"},
    "answered": {"en": "Answered", "de": "Beantwortet", "fr": "Répondues", "hu": "Megválaszolt"},
    "client_errors": {"en": "Errors 4xx", "de": "Fehler 4xx", "fr": "Erreurs 4xx", "hu": "4xx hibák"},
    "server_errors": {"en": "Errors 5xx", "de": "Fehler 5xx", "fr": "Erreurs 5xx", "hu": "5xx hibák"},
    "mean_time": {"en": "Mean time", "de": "Mittlere Zeit", "fr": "Durée moy.", "hu": "Átlagos idő"},
    "model": {"en": "Model", "de": "Modell", "fr": "Modèle", "hu": "Modell"},
    "events": {"en": "Events", "de": "Ereignisse", "fr": "Événements", "hu": "Események"},
    "tokens": {"en": "Tokens", "de": "Token", "fr": "Jetons", "hu": "Tokenek"},
    "others": {"en": "all others", "de": "alle übrigen", "fr": "tous les autres", "hu": "az összes többi"},
}  # fmt: skip

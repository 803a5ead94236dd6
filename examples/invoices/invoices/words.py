"""What people are told of failures. `{name}` is a value of the failure."""

ERRORS = {
    "nothing_to_bill": {
        "en": "{customer} has nothing to pay. Add a line to the invoice.",
        "de": "{customer} hat nichts zu zahlen. Fügen Sie der Rechnung eine Position hinzu.",
    },
    "bank_not_configured": {
        "en": "This installation knows no bank. Ask its operator to set INVOICES_BANK_URL.",
        "de": "Diese Installation kennt keine Bank. Bitten Sie ihren Betreiber, INVOICES_BANK_URL zu setzen.",
    },
    "bank_refused": {
        "en": "The bank refused {what} ({status}). Check it, then submit the task anew.",
        "de": "Die Bank hat {what} abgelehnt ({status}). Prüfen Sie das und senden Sie die Aufgabe neu.",
    },
}

# A value that is a sentence's part itself: TaskError(..., what={"phrase": "token"}).
PHRASES = {
    "token": {"en": "the token", "de": "das Token"},
    "account": {"en": "the account", "de": "das Konto"},
}

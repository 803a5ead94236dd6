"""The manifest of the kit. It imports nothing else: workers of other queues read it, too."""

from taskyard import Kit

KIT = Kit(
    "invoices",
    modules=("invoices.tasks",),
    queues=("invoices",),
    settings="invoices.settings:InvoiceSettings",
    hooks=("invoices.hooks:Failures",),
)

"""The payments kit: charges cards through Stripe."""

from taskyard import Kit

KIT = Kit(
    "payments",
    modules=("taskyard_kits.payments.tasks",),
    queues=("high_priority", "default", "low_priority"),
    settings="taskyard_kits.payments.settings:PaymentSettings",
)

"""The webhooks kit: what is told to receivers that callers registered."""

from taskyard import Kit

KIT = Kit(
    "webhooks",
    modules=("taskyard_kits.webhooks.tasks",),
    queues=("high_priority", "default", "low_priority"),
    settings="taskyard_kits.webhooks.settings:WebhookSettings",
)

"""The notifications kit: a short message to a person or a system, by mail or webhook."""

from taskyard import Kit

KIT = Kit(
    "notifications",
    modules=("taskyard_kits.notifications.tasks",),
    queues=("high_priority", "default", "low_priority"),
    settings="taskyard_kits.notifications.settings:NotificationSettings",
)

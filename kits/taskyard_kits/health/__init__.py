"""The health kit: whether everything that the platform depends on answers."""

from taskyard import Kit

KIT = Kit(
    "health",
    modules=("taskyard_kits.health.tasks",),
    queues=("high_priority", "default", "low_priority"),
    settings="taskyard_kits.health.settings:HealthSettings",
)

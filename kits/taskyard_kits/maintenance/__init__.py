"""The maintenance kit: what keeps caches, temporary files and the ledger small."""

from taskyard import Kit

KIT = Kit(
    "maintenance",
    modules=("taskyard_kits.maintenance.tasks",),
    queues=("high_priority", "default", "low_priority"),
    settings="taskyard_kits.maintenance.settings:MaintenanceSettings",
)

"""The maintenance kit: what keeps caches, temporary files and the ledger small."""

from taskyard import Kit, StandingSchedule

KIT = Kit(
    "maintenance",
    modules=("taskyard_kits.maintenance.tasks",),
    queues=("high_priority", "default", "low_priority"),
    settings="taskyard_kits.maintenance.settings:MaintenanceSettings",
    schedules=(
        StandingSchedule(
            name="maintenance.cleanup_expired_data hourly", task="maintenance.cleanup_expired_data", cron="0 * * * *"
        ),
        StandingSchedule(name="maintenance.archive_tasks daily", task="maintenance.archive_tasks", cron="0 3 * * *"),
    ),
)

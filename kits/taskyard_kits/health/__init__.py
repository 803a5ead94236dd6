"""The health kit: whether everything that the platform depends on answers."""

from taskyard import Kit, StandingSchedule

KIT = Kit(
    "health",
    modules=("taskyard_kits.health.tasks",),
    queues=("high_priority", "default", "low_priority"),
    settings="taskyard_kits.health.settings:HealthSettings",
    schedules=(StandingSchedule(name="health.check hourly", task="health.check", cron="0 * * * *"),),
)

"""The analytics kit: sums of requests and of the usage of models."""

from taskyard import Kit, StandingSchedule

KIT = Kit(
    "analytics",
    modules=("taskyard_kits.analytics.tasks",),
    queues=("high_priority", "default", "low_priority"),
    schedules=(StandingSchedule(name="analytics.aggregate hourly", task="analytics.aggregate", cron="0 * * * *"),),
)

"""The analytics kit: sums of requests and of the usage of models."""

from taskyard import Kit

KIT = Kit(
    "analytics",
    modules=("taskyard_kits.analytics.tasks",),
    queues=("high_priority", "default", "low_priority"),
)

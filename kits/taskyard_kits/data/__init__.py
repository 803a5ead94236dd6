"""The data kit: records from other systems."""

from taskyard import Kit

KIT = Kit(
    "data",
    modules=("taskyard_kits.data.tasks",),
    queues=("high_priority", "default", "low_priority"),
    settings="taskyard_kits.data.settings:DataSettings",
)

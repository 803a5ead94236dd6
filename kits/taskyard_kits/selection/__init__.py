"""The selection kit: panels drawn by lot that meet quotas."""

from taskyard import Kit

KIT = Kit(
    "selection",
    modules=("taskyard_kits.selection.tasks", "taskyard_kits.selection.google.tasks"),
    queues=("selection",),
    settings="taskyard_kits.selection.settings:SelectionSettings",
    forks=False,
)

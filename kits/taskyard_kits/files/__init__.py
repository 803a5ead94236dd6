"""The files kit: work on stored files."""

from taskyard import Kit

KIT = Kit(
    "files",
    modules=(
        "taskyard_kits.files.tasks",
        "taskyard_kits.files.cleaning",
        "taskyard_kits.files.importing.tasks",
        "taskyard_kits.files.documents.tasks",
    ),
    queues=("high_priority", "default", "low_priority"),
    settings="taskyard_kits.files.settings:FileSettings",
)

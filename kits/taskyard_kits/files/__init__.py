"""The files kit: work on stored files."""

from taskyard import Kit, StandingSchedule

KIT = Kit(
    "files",
    modules=(
        "taskyard_kits.files.tasks",
        "taskyard_kits.files.cleaning",
        "taskyard_kits.files.importing.tasks",
        "taskyard_kits.files.documents.tasks",
    ),
    queues=("high_priority", "default", "low_priority"),
    libraries=("PIL", "defusedxml", "mammoth", "markdown_it", "openpyxl", "turbohtml", "typst"),
    settings="taskyard_kits.files.settings:FileSettings",
    schedules=(StandingSchedule(name="files.cleanup_old daily", task="files.cleanup_old", cron="0 2 * * *"),),
)

"""The reports kit: PDFs with tables and charts over tasks, queues and analytics."""

from taskyard import Kit

KIT = Kit(
    "reports",
    modules=("taskyard_kits.reports.tasks",),
    queues=("high_priority", "default", "low_priority"),
)

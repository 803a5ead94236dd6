"""The files kit: work on stored files."""

from taskyard import Kit

KIT = Kit("files", modules=("taskyard_kits.files.tasks",), queues=("high_priority", "default", "low_priority"))

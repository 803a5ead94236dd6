"""The diagnostics kit: drills with known behaviour, for tests and benchmarks."""

from taskyard import Kit

KIT = Kit("diagnostics", modules=("taskyard_kits.diagnostics.tasks",), diagnostic=True)

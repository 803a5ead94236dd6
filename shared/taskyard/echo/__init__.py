"""The platform's own kit. Every worker loads it, so that `taskyard doctor` can send a task through any queue."""

from taskyard import Kit

KIT = Kit("taskyard", modules=("taskyard.echo.tasks",))

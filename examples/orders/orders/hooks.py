"""What the worker calls in each of its child processes."""

from taskyard import Hook

from .database import dispose_all


class Engines(Hook):
    def child_ending(self) -> None:
        dispose_all()

"""A task type that nobody implements."""

from taskyard.catalogue.types import Params, Result, TaskType

ORPHAN = TaskType(name="tests.orphan", description="Nobody runs it.", params=Params, result=Result)

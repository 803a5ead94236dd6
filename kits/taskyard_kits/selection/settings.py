"""The settings of the selection kit: `TASKYARD_SELECTION_*`."""

from __future__ import annotations

from pydantic import Field

from .google.settings import GoogleSettings


class SelectionSettings(GoogleSettings):
    selection_memory_mib: int = Field(
        default=2048, ge=256, le=1_048_576, description="The memory of a process that draws a panel."
    )

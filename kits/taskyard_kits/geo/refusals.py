"""Why an image becomes no raster: raised in the converter's process, told by the task."""

from __future__ import annotations


class Refused(Exception):
    """The code of a TaskError, with its values. `reason`: what the log says beside it, such as GDAL's message."""

    def __init__(self, code: str, *, reason: str = "", **values: object) -> None:
        super().__init__(code)
        self.code = code
        self.values = values
        self.reason = reason

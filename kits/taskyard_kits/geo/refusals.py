"""Why an image becomes no raster: raised in the converter's process, told by the task."""

from __future__ import annotations


class Refused(Exception):
    """The code of a TaskError, with its values."""

    def __init__(self, code: str, **values: object) -> None:
        super().__init__(code)
        self.code = code
        self.values = values

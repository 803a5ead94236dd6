"""How a submit that is not admitted is refused, over HTTP and in an application's transaction."""

from __future__ import annotations

from collections.abc import Sequence

from ..domain.errors import Refused
from ..domain.faults import Fault
from ..domain.messages import message


class Invalid(Refused):
    """The request is well-formed, but has invalid values."""

    code = "invalid_request"

    def __init__(self, faults: Sequence[Fault]) -> None:
        first = faults[0]
        super().__init__(first.message if len(faults) == 1 else message("{count} things are wrong.", count=len(faults)))
        self.faults = list(faults)
        codes = {fault.code for fault in faults}
        self.code = codes.pop() if len(codes) == 1 else Invalid.code


class NoTaskTypes(Refused):
    """Submits come before the first worker: a cold start."""

    code = "no_task_types"

    def __init__(self) -> None:
        super().__init__(message("No worker has registered its task types yet."))

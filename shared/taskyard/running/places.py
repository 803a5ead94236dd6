"""Where an error arose, in words that stay the same from release to release: by them, failures are put into groups."""

from __future__ import annotations

import sys

# The platform's own frames, and those of the library that calls it.
_PLATFORM = frozenset({"taskyard", "taskyard_worker", "dramatiq"})
_SKIPPED = _PLATFORM | sys.stdlib_module_names - {"__main__"}
# What the interpreter has noted, whatever the error's class says.
_TRACEBACK_OF = vars(BaseException)["__traceback__"].__get__


def place_of(error: BaseException) -> str | None:
    """`module:function` of the innermost frame of the task's own package; None where no frame is a task's.

    The task's package is that of the outermost frame which belongs neither to the platform nor to the standard library.
    Frames of libraries that the task calls are passed over: all failed calls of an HTTP library would have one place.
    Line numbers are left out, because they change with each release.
    """
    own: str | None = None
    found = None
    trace = _TRACEBACK_OF(error)
    while trace is not None:
        module = dict.get(trace.tb_frame.f_globals, "__name__")
        if type(module) is str:
            package = module.partition(".")[0]
            if own is None and package not in _SKIPPED:
                own = package
            if package == own:
                found = f"{module}:{trace.tb_frame.f_code.co_qualname}"
        trace = trace.tb_next
    return found

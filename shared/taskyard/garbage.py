"""When Python looks for cycles that nothing refers to.

A service imports some hundred thousand objects, which stay. Looking through them at every 700 new ones is a fifth of
the processor time of a start, and at the end of the program they would all be looked through again.
"""

from __future__ import annotations

import atexit
import gc

_ALLOCATIONS = 50_000
_usual = gc.get_threshold()


def rarely_until_started() -> None:
    """For the whole life of a command, and until `started` in a service."""
    gc.set_threshold(_ALLOCATIONS, 20, 20)
    atexit.register(gc.freeze)


def started() -> None:
    """What there is now stays, and from now on cycles are looked for as usual."""
    gc.freeze()
    gc.set_threshold(*_usual)

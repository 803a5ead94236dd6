"""Where attempts have their temporary directories, and how one sees whether their worker lives.

<TEMP_DIR>/attempts/<worker>/<child>/<task>-<attempt>     one attempt's: context.temp_dir
<TEMP_DIR>/attempts/<worker>.lock                         held while the supervisor lives
"""

from __future__ import annotations

import fcntl
import os
import re
from pathlib import Path

ATTEMPTS = "attempts"
LOCK = ".lock"
# A worker has a UUID. Of another name, as `..lock`, the rest could be that of this directory, or of the one above.
_NAME = re.compile(rf"([0-9a-f-]{{36}}){re.escape(LOCK)}", re.ASCII)


def worker_of(lock: str) -> str | None:
    """The worker whose lock has this name; None where it is no worker's."""
    found = _NAME.fullmatch(lock)
    return None if found is None else found[1]


def hold(path: Path | str, *, make: bool, dir_fd: int | None = None) -> int:
    """The lock of a worker; closing it lets it go. Programs of tasks do not inherit it. Raises OSError where another
    process holds it."""
    flags = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | (os.O_CREAT | os.O_EXCL if make else 0)
    fd = os.open(path, flags, 0o600, dir_fd=dir_fd)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BaseException:
        os.close(fd)
        raise
    return fd

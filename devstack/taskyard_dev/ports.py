"""Free TCP ports on the loopback address."""

import socket
from collections.abc import Iterator

from taskyard_dev.errors import PortTaken

LOOPBACK = "127.0.0.1"


def is_free(port: int) -> bool:
    """Whether a server could listen on this port now."""
    with socket.socket() as probe:
        # As the servers do: without it, closing connections would look like a listener.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    # Where a specific address may be bound next to another program's wildcard, binding proves nothing.
    with socket.socket() as probe:
        probe.settimeout(0.2)
        return probe.connect_ex((LOOPBACK, port)) != 0


def check_free(port: int) -> None:
    """Raises `PortTaken`."""
    if not is_free(port):
        raise PortTaken(f"port {port} on {LOOPBACK} is taken")


def any_free() -> int:
    """A port that is not in use now."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port


def first_free(*preferred: int) -> int:
    """The first of these that is free, else any free one."""
    return next((port for port in preferred if port and is_free(port)), 0) or any_free()


def to_try(wanted: int | None, *, last: int | None, usual: int) -> Iterator[int]:
    """The ports a server should try, one after the other.

    `wanted` is the only one if given, and `0` means any. Otherwise that of the previous run, so that open connections
    of tools survive a restart; then the usual one; then any. More than one, because another program may take a port
    between the check and the bind.
    """
    if wanted:
        check_free(wanted)
        yield wanted
        return
    if wanted is None:
        yield from dict.fromkeys(port for port in (last, usual) if port and is_free(port))
    for _ in range(3):
        yield any_free()

"""TCP ports on the loopback address, held from the moment they are chosen."""

import socket
import sys
from collections.abc import Iterator
from typing import Self

from taskyard_dev.errors import PortTaken

LOOPBACK = "127.0.0.1"


class Hold:
    """Keeps a port from all others until it is closed, or until this process ends.

    Programs that ask for any free port don't get it, because a socket is bound to it. A server that asks for this port
    gets it, because that socket does not listen: both set SO_REUSEADDR. Of stacks, only one holds a port: the name in
    the abstract namespace exists once in each network namespace. Both work on Linux only; elsewhere nothing is held.
    """

    def __init__(self, port: int) -> None:
        """Raises `PortTaken`."""
        self._sockets: list[socket.socket] = []
        try:
            bound = self._bound(port)
            self.port: int = bound.getsockname()[1]
            self._claim_name()
        except OSError as error:
            self.close()
            raise PortTaken(f"port {port} on {LOOPBACK} is taken") from error
        if sys.platform != "linux":
            self.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        for one in self._sockets:
            one.close()
        self._sockets = []

    def _bound(self, port: int) -> socket.socket:
        bound = self._socket(socket.AF_INET)
        # As the servers do: without it, closing connections would look like a listener.
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((LOOPBACK, port))
        # Where a specific address may be bound next to another program's wildcard, binding proves nothing.
        with socket.socket() as probe:
            probe.settimeout(0.2)
            if port and probe.connect_ex((LOOPBACK, port)) == 0:
                raise OSError("another program listens")
        return bound

    def _claim_name(self) -> None:
        if sys.platform == "linux":
            self._socket(socket.AF_UNIX).bind(f"\0taskyard-port-{self.port}")

    def _socket(self, family: socket.AddressFamily) -> socket.socket:
        made = socket.socket(family)
        self._sockets.append(made)
        return made


def try_hold(port: int) -> Hold | None:
    try:
        return Hold(port)
    except PortTaken:
        return None


def hold_any() -> Hold:
    return Hold(0)


def hold_first(*preferred: int) -> Hold:
    """The first of these that is free, else any free one."""
    for port in preferred:
        if hold := try_hold(port):
            return hold
    return hold_any()


def to_try(wanted: int | None, *, last: int | None, usual: int) -> Iterator[Hold]:
    """The ports a server should try, one after the other.

    `wanted` is the only one if given, and `0` means any. Otherwise that of the previous run, so that open connections
    of tools survive a restart; then the usual one; then any. More than one, because a program that asks for exactly
    this port may listen before the server does.
    """
    if wanted:
        yield Hold(wanted)
        return
    if wanted is None:
        for port in dict.fromkeys(port for port in (last, usual) if port):
            if hold := try_hold(port):
                yield hold
    for _ in range(3):
        yield hold_any()

"""The socket that the API listens on."""

from __future__ import annotations

import socket


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes a free one. Raises OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(2048)
    except BaseException:
        listener.close()
        raise
    return listener


def inherited(descriptor: int) -> socket.socket:
    """The socket that the parent process bound. Raises OSError where it is none, or none that can listen."""
    listener = socket.socket(fileno=descriptor)
    try:
        # Of a socket that listens already, this changes the length of its queue.
        listener.listen(2048)
    except BaseException:
        listener.close()
        raise
    return listener

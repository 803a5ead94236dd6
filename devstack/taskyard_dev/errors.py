"""What can go wrong with the development stack.

StackError
├── ServerFailed        a server didn't start, or didn't become ready in time
├── DataDirectoryInUse  a live server of another stack holds the data directory
├── PortTaken           the port that was asked for is somebody else's
├── ServerAway          a server that the environment names doesn't let us in
└── ServiceFailed       a service of the stack didn't become ready
"""


class StackError(Exception):
    """The development stack can't go on; the message says what to do about it."""


class ServerFailed(StackError):
    """A server didn't start; the message ends with what it logged."""


class DataDirectoryInUse(StackError):
    """Another server, alive, works on the same data directory."""


class PortTaken(StackError):
    """The port that was asked for explicitly isn't free."""


class ServerAway(StackError):
    """A server of the user's own, not one of ours, can't be used."""


class ServiceFailed(StackError):
    """A service of the stack didn't become ready."""

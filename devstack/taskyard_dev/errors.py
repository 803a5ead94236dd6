"""The errors of the development stack."""


class StackError(Exception):
    """The development stack can't run; the message says what to do."""


class ServerFailed(StackError):
    """A server didn't start; the message ends with its last log lines."""


class DataDirectoryInUse(StackError):
    """Another running server uses the same data directory."""


class PortTaken(StackError):
    """The port that was asked for explicitly isn't free."""


class ServerAway(StackError):
    """A server that the environment names can't be used."""


class ServiceFailed(StackError):
    """A service of the stack didn't become ready."""

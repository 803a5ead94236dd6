"""A port of the development stack is held from the moment it is chosen."""

import socket
import subprocess
import sys
from contextlib import ExitStack

import pytest

from taskyard_dev import layout, ports
from taskyard_dev.errors import PortTaken
from tests.support.fleet import free_port

HELD_ELSEWHERE = """
import sys
from taskyard_dev import ports
with ports.hold_first(int(sys.argv[1])) as hold:
    print(hold.port, flush=True)
    sys.stdin.read()
"""


def test_stacks_that_choose_at_once_choose_different_ports() -> None:
    wanted = free_port()
    with ExitStack() as exits:
        others = [
            exits.enter_context(
                subprocess.Popen(
                    [sys.executable, "-c", HELD_ELSEWHERE, str(wanted)],
                    stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                )
            )
            for _ in range(4)
        ]  # fmt: skip
        chosen = [int(other.stdout.readline()) for other in others if other.stdout]
        assert len(set(chosen)) == 4
        assert wanted in chosen
        with pytest.raises(PortTaken, match=str(wanted)):
            ports.Hold(wanted)


def test_a_server_that_asks_for_a_held_port_gets_it_and_no_other_does() -> None:
    with ports.hold_any() as hold, socket.create_server((ports.LOOPBACK, hold.port)):
        with pytest.raises(OSError, match="in use"):
            socket.create_server((ports.LOOPBACK, hold.port))
        with layout.Ports() as free:
            assert free.one_of(hold.port) != hold.port


def test_a_port_is_free_again_when_its_holder_lets_go() -> None:
    with ports.hold_any() as hold:
        port = hold.port
    ports.Hold(port).close()

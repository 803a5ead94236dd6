"""A copy of a child gives up what it shares before anything reaches it."""

import signal
import subprocess
import sys

import pytest

_SCRIPT = """
import os, signal, sys
from taskyard import signals
from taskyard_worker.child.copies import detach_copies

number = int(sys.argv[1])
# As if it had been sent to the copy at once.
os.register_at_fork(after_in_child=lambda: os.kill(os.getpid(), number))
signals.take({signal.SIGTERM: signals.nothing})
for _ in range(2):
    detach_copies()
pid = os.fork()
if not pid:
    os._exit(7)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), len(signal.pthread_sigmask(signal.SIG_BLOCK, ())))
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_that_comes_right_after_the_copy_was_made_ends_it(number: signal.Signals) -> None:
    said = subprocess.run([sys.executable, "-c", _SCRIPT, str(int(number))], capture_output=True, text=True, check=True)
    assert said.stdout.split() == [str(-number), "0"], "and the parent hears signals again"

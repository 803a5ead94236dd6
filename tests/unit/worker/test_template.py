"""What a template looks for before it forks, and whose child it makes."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="children are forked on Linux only")


def said_by(code: str) -> str:
    """What a process of its own prints."""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert run.returncode == 0, run.stderr
    return run.stdout.strip()


_MODULES = {
    "pass": "None",
    "device = open('/dev/urandom')": "None",
    "own = open('/dev/null'); lines = [own.fileno()]": "None",
    "import threading, time; threading.Thread(target=time.sleep, args=[9], daemon=True).start()": "1 of its",
    "import subprocess; left = subprocess.Popen(['sleep', '1'])": "its task modules have started a process",
    "import socket; left = socket.socket()": "its task modules keep a socket open",
    "import os; left = os.pipe()": "its task modules keep a pipe open",
    "import sys; left = open(sys.executable)": "its task modules keep /",
    "import select; left = select.epoll()": "its task modules keep anon_inode:[eventpoll] open",
}
_LOOK = f"""
import os
from taskyard_worker.child.template import why_not_to_fork

for module in {list(_MODULES)!r}:
    pid = os.fork()
    if pid == 0:
        lines = []
        exec(module)
        print(why_not_to_fork(*lines), flush=True)
        os._exit(0)
    os.waitpid(pid, 0)
"""


def test_what_a_fork_would_break_or_share_is_noticed() -> None:
    said = said_by(_LOOK).splitlines()
    assert len(said) == len(_MODULES)
    for why, (module, expected) in zip(said, _MODULES.items(), strict=True):
        assert why.startswith(expected), module


_TWICE = """
import os, signal, sys
from taskyard import signals
from taskyard_worker.child.template import fork_twice
from taskyard_worker.programs import adopt_orphans

adopt_orphans()
reads, writes = os.pipe()
template = os.fork()
if template == 0:
    pid = fork_twice()
    if pid is None:
        # Adopted by now, or in a moment: its maker answers once it is.
        blocked = signals.ENDING <= signal.pthread_sigmask(signal.SIG_BLOCK, ())
        os._exit(7 if blocked else 1)
    os.write(writes, b"%d" % pid)
    os._exit(len(signal.pthread_sigmask(signal.SIG_BLOCK, ())))
pid = int(os.read(reads, 32))
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), os.waitstatus_to_exitcode(os.waitpid(template, 0)[1]))
"""


def test_what_is_forked_twice_is_the_supervisors_child_when_its_pid_is_told() -> None:
    assert said_by(_TWICE) == "7 0", "it holds signals until it has handlers, and the template hears them again"


_FAILED = """
import errno, os
from taskyard_worker.child import template

def fails():
    raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))

before = os.listdir("/proc/self/fd")
works, template.fork = template.fork, fails
try:
    template.fork_twice()
except OSError as e:
    print(e.errno == errno.EAGAIN, os.listdir("/proc/self/fd") == before)
template.fork = works
if (pid := template.fork_twice()) is None:
    os._exit(0)
"""


def test_a_fork_that_fails_leaves_nothing_open_and_the_next_one_is_made() -> None:
    assert said_by(_FAILED) == "True True"


_FIRST = """
import os, sys
from taskyard_worker.supervisor.starting import fork_first

def be_template(argv):
    listed = set(map(int, os.listdir("/proc/self/fd")))
    return 7 if {fd for fd in listed if os.path.exists(f"/proc/self/fd/{fd}")} == {0, 1, 2, int(argv[0])} else 1

os.dup2(os.open(sys.executable, os.O_RDONLY), 500)
os.closerange = None  # which takes long where the kernel closes one after the other
begun = fork_first(be_template)
print(os.waitstatus_to_exitcode(os.waitpid(begun.process.pid, 0)[1]))
"""


def test_the_first_template_closes_what_the_supervisor_has_open_and_keeps_its_line() -> None:
    assert said_by(_FIRST) == "7"


_COPIED = """
import os, signal
from taskyard_worker.child.copies import detach_copies
from taskyard_worker.programs import child_of, mark_this, name_of, name_this

child = "01234567-89ab-cdef-0123-456789abcdef"
os.environ["TASKYARD_CHILD"] = child  # which the kernel does not show of this process
detach_copies()
copy = os.fork()
if copy == 0:
    signal.pause()
while child_of(copy, ()) is None:
    pass
print(child_of(os.getpid(), [child]), child_of(copy, ["another", child]) == child, child_of(copy, ["another"]))
os.kill(copy, signal.SIGKILL)
mark_this()
reads, writes = os.pipe()
copy = os.fork()
if copy == 0:
    os.setsid()
    name_this("another name")
    os.write(writes, b".")
    os.closerange(3, 100)
    signal.pause()
os.read(reads, 1)
print(name_of(copy), child_of(copy, ["another", child]) == child)
os.kill(copy, signal.SIGKILL)
"""


def test_a_copy_of_a_forked_child_tells_whose_it_is() -> None:
    assert said_by(_COPIED).splitlines() == ["None True 0123456", "another name True"]


_REPORTED = """
import json, os, socket
from taskyard.catalogue.secrets import Cipher
from taskyard.catalogue.types import Catalogue, Params, Result, TaskType
from taskyard_worker.child.skills import Skills
from taskyard_worker.child.template import report_apart
from taskyard_worker.control import Control

made = []

class Input(Params):
    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema, handler):
        made.append(cls)
        if os.environ.get("ENDS"):
            os.kill(os.getpid(), 9)
        return handler(core_schema)

def supervisor():
    with ours.makefile() as lines:
        names = [spec["name"] for line in lines for spec in json.loads(line)["specs"]]
        print(*names, flush=True)

ours, theirs = socket.socketpair()
ours.sendall(b'{"do": "types", "refused": ["b.two"]}\\n')
control = Control(theirs.detach(), os.getppid())
types = [TaskType(name=name, description="", params=Input, result=Result) for name in ("a.one", "b.two", "c.three")]
skills = Skills(Catalogue(types), Cipher([]))
for ends in ("", "1"):
    os.environ["ENDS"] = ends
    try:
        kept = report_apart(control, skills)
        print(*kept.names, made, [t.params is Input for t in kept], len(os.listdir("/proc/self/fd")), flush=True)
    except ChildProcessError as e:
        print(e, len(os.listdir("/proc/self/fd")), flush=True)
control.detach()
supervisor()
"""


def test_the_types_are_reported_by_a_process_that_leaves_nothing_of_it_in_the_template() -> None:
    kept, ended, told = said_by(_REPORTED).splitlines()
    names, open_files = kept.rsplit(" ", 1)
    assert names == "a.one c.three [] [True, True]", "no schema was made here"
    assert ended == f"the process that reports the task types has ended with -9 {open_files}"
    assert told == "a.one b.two c.three"

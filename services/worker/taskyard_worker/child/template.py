"""The template: `python -m taskyard_worker.child.template CONTROL_FD PARENT`.

It imports what children need, and the supervisor has it fork them: they share its memory, and start at once. It runs no
task, has one thread, and opens nothing; what belongs to one process (connections, random numbers, metrics, hooks) each
child makes for itself, after the fork.

It forks twice, and the process in between ends: what is left without a parent becomes a child of the supervisor
(`programs.adopt_orphans`).
"""

from __future__ import annotations

import encodings.idna  # noqa: F401 - Python imports it with the first connection by name
import gc
import json
import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

from taskyard import garbage

if __name__ == "__main__":  # before the imports that take long
    garbage.rarely_until_started()

from taskyard import signals
from taskyard.catalogue import kits
from taskyard.catalogue.types import Catalogue
from taskyard.environment import read_settings
from taskyard.settings import Settings
from taskyard.telemetry.exports import import_exports

from ..control import EXIT_MISCONFIGURED, Control, ForkRequest, TemplatePlan, die_with_parent
from ..memory import prefer_this_process
from ..programs import TEMPLATE, name_this, started_by
from .connections import Connections
from .copies import detach_copies, fork, leave_copy
from .process import Birth, Loaded, in_one_line, load, run
from .report import report
from .skills import Skills

# What may be open beside the standard streams and the lines: nothing in these is read or written twice.
_STANDARD = (0, 1, 2)
_DEVICES = ("/dev/null", "/dev/zero", "/dev/random", "/dev/urandom")


def main(argv: Sequence[str], settings: Settings | None = None) -> int:
    """`settings`: those of the supervisor that this process was forked from."""
    control_fd, parent = map(int, argv)
    die_with_parent(parent)
    prefer_this_process()
    name_this(TEMPLATE)
    signals.take(dict.fromkeys(signals.OF_PYTHON, signals.nothing))
    control = Control(control_fd, parent)
    detach_copies(control.detach)  # before task modules are imported
    try:
        loaded = prepare(control, settings)
        birth = serve(control, parent)
    except ConnectionError:  # the supervisor has ended
        os._exit(0)
    except ChildProcessError as e:
        sys.stderr.write(f"{in_one_line(e)}\n")  # the supervisor tries again after a pause
        os._exit(1)
    return run(birth, loaded)


def prepare(control: Control, settings: Settings | None) -> Loaded:
    """All that children have in common. Ends the process where it must not be forked, or cannot be made ready. Raises
    ConnectionError."""
    # The supervisor may wait for PostgreSQL before.
    while (first := control.receive(60.0)) is None:
        pass
    plan = TemplatePlan(**first)
    try:
        settings = settings or read_settings(**plan.overrides)
        if kit := kits.without_fork(settings, plan.queues):
            refuse(control, f"the kit {kit} must not be forked", is_meant=True)
        label = f"{plan.worker}:template"
        skills = load(settings, plan.queues, needs=plan.kits, label=label)
        import_exports(settings)
        connections = Connections(settings, label)
    except (Exception, SystemExit) as e:  # noqa: BLE001 - a task module may raise anything; the supervisor logs it once
        control.send(event="misconfigured", message=in_one_line(e))
        os._exit(EXIT_MISCONFIGURED)
    leave_copy()
    if why := why_not_to_fork(control.fd):
        refuse(control, why)
    skills.tell_left_out()
    skills = replace(skills, catalogue=report_apart(control, skills))
    gc.collect()
    gc.freeze()  # no collection in a child writes to what it shares
    control.send(event="ready")
    return settings, skills, connections


def report_apart(control: Control, skills: Skills) -> Catalogue:
    """`report`, in a process that ends with it, and with this one: what making and checking schemas leaves behind, and
    the pages that it writes to, are 6 MiB that each worker would keep. Raises ChildProcessError."""
    template = os.getpid()
    reads, writes = os.pipe()
    if (pid := fork()) == 0:
        code = 1
        try:
            die_with_parent(template)
            os.close(reads)
            reported = report(control, skills.catalogue, skills.kits)
            with open(writes, "wb") as told:  # noqa: PTH123 - a descriptor
                told.write(json.dumps(reported.names).encode())
            code = 0
        except Exception:  # noqa: BLE001 - it must not go on as a template
            sys.excepthook(*sys.exc_info())
        finally:
            os._exit(code)
    os.close(writes)
    with open(reads, "rb") as told:  # noqa: PTH123 - as above
        answer = told.read()
    if code := os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]):
        raise ChildProcessError(f"the process that reports the task types has ended with {code}")
    names = frozenset(json.loads(answer))
    return Catalogue(t for t in skills.catalogue if t.name in names)


def serve(control: Control, parent: int) -> Birth:
    """Forks at each request; returns in the children only."""
    while True:
        request, child_fd, slots_fd = control.wait_for_fork()
        if why := why_not_to_fork(control.fd, child_fd, slots_fd):
            refuse(control, why)
        try:
            pid = fork_twice()
        except OSError as e:
            control.send(event="unforked", why=f"the template cannot fork: {e.strerror}")
        else:
            if pid is None:
                control.detach()
                become_child(request)
                return Birth(child_fd, slots_fd, request.slots, parent)
            control.send(event="forked", pid=pid)
        os.close(child_fd)
        os.close(slots_fd)


def refuse(control: Control, why: str, *, is_meant: bool = False) -> NoReturn:
    """`is_meant`: nobody has to change anything about it."""
    control.send(event="unforkable", why=why, is_meant=is_meant)
    os._exit(0)  # a thread of a task module may never end


def why_not_to_fork(*lines: int) -> str | None:
    """What task modules have left that a fork would break or share, if they have. `lines`: descriptors of our own."""
    threads = len(os.listdir("/proc/self/task"))  # noqa: PTH208 - before each fork
    if threads > 1:
        return f"{threads - 1} of its task modules' threads run after the import"
    if started_by(os.getpid()):
        return "its task modules have started a process at the import"
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208 - as above
        if (fd := int(name)) not in {*_STANDARD, *lines} and (place := _place_of(fd)) is not None:
            return f"its task modules keep {place} open after the import"
    return None


def _place_of(fd: int) -> str | None:
    try:
        place = str(Path(f"/proc/self/fd/{fd}").readlink())
    except FileNotFoundError:  # that of the listing itself
        return None
    kind = place.partition(":[")[0]
    # Their numbers say nothing to people.
    return None if place in _DEVICES else f"a {kind}" if kind in {"socket", "pipe"} else place


def fork_twice() -> int | None:
    """The pid of the new process, once it is a child of the supervisor; None in the new process, where the signals that
    would end it wait until it has its handlers. Raises OSError."""
    template = os.getpid()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signals.ENDING)
    try:
        return _fork_twice()
    finally:
        if os.getpid() == template:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _fork_twice() -> int | None:
    reads, writes = os.pipe()
    try:
        first = fork()
    except OSError:
        os.close(reads)  # else `why_not_to_fork` finds them at the next request
        os.close(writes)
        raise
    if first == 0:
        try:
            second = fork()
        except OSError as e:
            os._exit(e.errno or 1)
        if second == 0:
            os.close(reads)
            os.close(writes)
            return None
        try:
            os.setpgid(second, second)  # together with the programs that its tasks start: see `Handle.reap`
            os.write(writes, b"%d" % second)
        finally:
            os._exit(0)
    os.close(writes)
    told = os.read(reads, 32)
    os.close(reads)
    # The kernel hands the children of a process on before it says that the process has ended.
    code = os.waitstatus_to_exitcode(os.waitpid(first, 0)[1])
    if not told:
        raise OSError(code, os.strerror(code))
    return int(told)


def become_child(request: ForkRequest) -> None:
    """What must differ from the siblings."""
    for name, value in request.environment.items():
        if value is not None:
            os.environ[name] = value
        else:
            os.environ.pop(name, None)
    if (numpy_random := sys.modules.get("numpy.random")) is not None:
        numpy_random.seed()  # `random`, uuid_utils and OpenSSL do so themselves


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

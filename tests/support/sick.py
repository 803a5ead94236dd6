"""Task types of the tests' own that make their process sick, or leave something of it behind."""

import asyncio
import ctypes
import json
import multiprocessing
import os
import resource
import subprocess
import sys
import threading
import time
from contextlib import suppress
from typing import Any, Literal

from taskyard import Hook, Params, Result, TaskContext, task
from taskyard.domain.retry import RetryPolicy
from taskyard.running.views import Run

FORK_VARIABLE = "TASKYARD_TEST_FORK"

# A copy that comes back into what imports this module.
if os.environ.get(FORK_VARIABLE) == "at import" and "taskyard_worker.child.skills" in sys.modules:
    os.fork()


class Forking(Hook):
    def before_run(self, run: Run) -> None:
        os.fork()


HOOKS = [Forking] if os.environ.get(FORK_VARIABLE) == "in a hook" else []

_KEPT: list[Any] = []
_ONCE = RetryPolicy(retries=0)
# Signals that the C library keeps for itself: it ignores them in what posix_spawn starts.
_OF_C_LIBRARY = 1 << 31 | 1 << 32
_IGNORED_AND_BLOCKED = "sed -n -E 's/^Sig(Ign|Blk):[[:space:]]*//p' /proc/self/status"


class SickParams(Params):
    do: str
    number: int = 0
    seconds: float = 0.0
    thread: str = ""


class ForkParams(Params):
    copy_does: Literal["return", "raise", "exec", "wait"]
    seconds: float = 0.0


class Told(Result):
    told: Any = None


@task("tests.sick", retry=_ONCE)
def make_sick(params: SickParams, context: TaskContext) -> Told:
    """Does what it is told."""
    return Told(told=globals()[params.do](params, context))


@task("tests.fork", retry=_ONCE)
def fork(params: ForkParams, context: TaskContext) -> Told:
    """Forks, and tells the exit code of the copy, which does not end by itself."""
    pid = os.fork()
    if not pid:
        return in_copy(params, context)
    context.progress(pid)
    time.sleep(params.seconds)
    return Told(told=os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))


@task("tests.async_fork", retry=_ONCE)
async def fork_on_the_loop(params: ForkParams, context: TaskContext) -> Told:
    """The same in a coroutine; here the copy may wait, too."""
    pid = os.fork()
    if not pid:
        if params.copy_does == "wait":
            await asyncio.sleep(0)
            await asyncio.get_running_loop().create_future()
        return in_copy(params, context)
    while True:
        ended, status = os.waitpid(pid, os.WNOHANG)  # noqa: ASYNC222 - it does not wait
        if ended:
            return Told(told=os.waitstatus_to_exitcode(status))
        await asyncio.sleep(0.01)


@task("tests.async_fork_in_a_subtask", retry=_ONCE)
async def fork_in_a_subtask(context: TaskContext) -> Told:
    """The copy is made in an asyncio task of its own, and waits there."""

    async def copy_and_wait() -> int:
        pid = os.fork()
        await asyncio.sleep(0.01)
        return pid

    pid = await asyncio.create_task(copy_and_wait())
    return Told(told=os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))  # noqa: ASYNC222 - it has ended


def in_copy(params: ForkParams, context: TaskContext) -> Told:
    """What goes wrong in a copy of a process that was meant to become a program."""
    context.progress(0, message="of a copy")
    context.log("of a copy")
    print("of a copy")  # noqa: T201 - a line of its log
    if params.copy_does == "exec":
        os.execv("/no/such/program", ["program"])
    if params.copy_does == "raise":
        raise RuntimeError("in a copy")
    return Told(told="of a copy")


def leak_descriptors(params: SickParams, _: TaskContext) -> int:
    """As many as it is told, or as there are."""
    before = len(_KEPT)
    with suppress(OSError):
        for _unused in range(params.number):
            _KEPT.append(os.open("/dev/null", os.O_RDONLY))  # noqa: PERF401 - those before the error are kept
    return len(_KEPT) - before


def run_out_of_descriptors(params: SickParams, _: TaskContext) -> None:
    while True:
        _KEPT.append(os.open("/dev/null", os.O_RDONLY))


def leak_threads(params: SickParams, _: TaskContext) -> int:
    for _unused in range(params.number):
        threading.Thread(target=time.sleep, args=[params.seconds], daemon=True).start()
    return params.number


def leak_memory(params: SickParams, _: TaskContext) -> int:
    _KEPT.append(bytearray(b"\xa5") * (params.number << 20))
    return params.number


def run_out_of_threads(params: SickParams, _: TaskContext) -> None:
    raise RuntimeError("can't start new thread")


def open_descriptor(params: SickParams, _: TaskContext) -> int:
    """What any task may need."""
    time.sleep(params.seconds)
    os.close(os.open("/dev/null", os.O_RDONLY))
    return os.getpid()


def multiprocess(_: SickParams, __: TaskContext) -> list[Any]:
    """Processes of the start method `fork`: one that answers and ends, one that is terminated."""
    context = multiprocessing.get_context("fork")
    answers = context.SimpleQueue()
    worker = context.Process(target=answers.put, args=["answer"])
    worker.start()
    worker.join()
    sleeper = context.Process(target=time.sleep, args=[60.0])
    sleeper.start()
    sleeper.terminate()
    sleeper.join(20.0)
    return [answers.get(), worker.exitcode, sleeper.exitcode]


def prepared_program(_: SickParams, __: TaskContext) -> str:
    return subprocess.run(
        ["echo", "done"], preexec_fn=os.setpgrp, capture_output=True, text=True, check=True
    ).stdout  # fmt: skip


def use_context_in_copy(_: SickParams, context: TaskContext) -> list[str]:
    """What a copy is told that uses the connections of its task."""
    receiver, sender = os.pipe()
    pid = os.fork()
    if not pid:
        told = []
        for use in (lambda: context.submit("tests.effect", {}), lambda: context.db().__enter__()):
            try:
                use()
                told.append("worked")
            except BaseException as e:  # noqa: BLE001 - it is told
                told.append(f"{type(e).__name__}: {e}")
        os.write(sender, "\n".join(told).encode())
        os._exit(0)
    os.waitpid(pid, 0)
    os.close(sender)
    with os.fdopen(receiver) as file:
        return file.read().split("\n")


def leave_program(params: SickParams, context: TaskContext) -> int:
    """In a session of its own, so that it does not belong to the group of its process."""
    program = subprocess.Popen(["sleep", str(params.seconds)], start_new_session=True)
    _KEPT.append(program)
    context.progress(program.pid)
    return program.pid


def stay_with_program(params: SickParams, context: TaskContext) -> int:
    """Deaf to cancellation, as C code that waits is."""
    pid = leave_program(params, context)
    ctypes.CDLL(None).sleep(int(params.seconds))
    return pid


def leave_daemon(params: SickParams, context: TaskContext) -> int:
    """In a session of its own, and the parent that started it is gone."""
    script = f"setsid sleep {params.seconds} >/dev/null 2>&1 & echo $!"
    pid = int(subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True).stdout)
    context.progress(pid)
    return pid


def leave_copy(params: SickParams, context: TaskContext) -> int:
    pid = os.fork()
    if not pid:
        os.setsid()
        time.sleep(params.seconds)
        os._exit(0)
    context.progress(pid)
    return pid


def leave_renamed_copy(params: SickParams, _: TaskContext) -> int:
    pid = os.fork()
    if not pid:
        os.setsid()
        ctypes.CDLL(None).prctl(15, b"renamed", 0, 0, 0)
        time.sleep(params.seconds)
        os._exit(0)
    return pid


def signals_of_programs(_: SickParams, __: TaskContext) -> dict[str, list[int]]:
    """The sets of signals that programs block and ignore, by how they were started."""
    found = _signals_of_programs()
    return {how: [int(mask, 16) & ~_OF_C_LIBRARY for mask in masks] for how, masks in found.items()}


def _signals_of_programs() -> dict[str, list[str]]:
    command = ["/bin/sh", "-c", _IGNORED_AND_BLOCKED]
    return {
        "subprocess": subprocess.run(command, capture_output=True, text=True, check=True).stdout.split(),
        "subprocess as is": subprocess.run(
            command, capture_output=True, text=True, check=True, restore_signals=False
        ).stdout.split(),
        "posix_spawn": _output(lambda out: os.posix_spawn(
            command[0], command, os.environ, file_actions=[(os.POSIX_SPAWN_DUP2, out, 1)]
        )),
        "fork": _output(lambda out: _fork_and_exec(command, out)),
    }  # fmt: skip


def _output(start: Any) -> list[str]:
    receiver, sender = os.pipe()
    pid = start(sender)
    os.close(sender)
    os.waitpid(pid, 0)
    with os.fdopen(receiver) as file:
        return file.read().split()


def _fork_and_exec(command: list[str], out: int) -> int:
    pid = os.fork()
    if not pid:
        os.dup2(out, 1)
        os.execv(command[0], command)
    return pid


def end_thread(params: SickParams, _: TaskContext) -> str:
    """Raises SystemExit into a thread of the platform, as far as Python lets it."""
    until = time.monotonic() + 10
    while not (found := _threads(params.thread)) and time.monotonic() < until:
        time.sleep(0.01)
    victim = found[0]
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(victim.ident or 0), ctypes.py_object(SystemExit))
    _wait(params.seconds)
    return victim.name


def _threads(name: str) -> list[threading.Thread]:
    """Those of this name or class; of the threads of tasks, those that wait for one at this moment."""
    found = [thread for thread in threading.enumerate() if name in {thread.name, type(thread).__name__}]
    if name != "WorkerThread":
        return found
    frames = sys._current_frames()
    waiting = [t for t in found if t.ident in frames]
    return [t for t in waiting if frames[t.ident or 0].f_code.co_filename == threading.__file__]


def end_all_threads(params: SickParams, _: TaskContext) -> None:
    """Raises ValueError into all threads but its own, and returns."""
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and thread.ident is not None:
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident), ctypes.py_object(ValueError))


def close_descriptors(params: SickParams, _: TaskContext) -> None:
    """As programs do that become daemons."""
    os.closerange(3, 400)
    _wait(params.seconds)


def lower_descriptors(_: SickParams, __: TaskContext) -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))


def replace_json(_: SickParams, __: TaskContext) -> None:
    """As a patch for tests that is left in place."""
    vars(json).update(dumps=None, loads=None)


def _wait(seconds: float) -> None:
    """Deaf to interrupts."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        with suppress(BaseException):
            time.sleep(0.1)

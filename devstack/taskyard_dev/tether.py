"""Runs a program that dies with its parent, under another account if asked to.

A separate script (`python -I -S tether.py …`) instead of a `preexec_fn`, because between fork and exec of a process
with threads, hardly any call is safe. It replaces itself by the program, so the process id stays the same. It must not
import anything of the project, so that it starts in 20 ms.

    tether.py --parent PID --signal N [--user UID:GID] -- program argument…
    tether.py --user UID:GID --reaches PATH      (exit 0 when that account may enter PATH)
"""

import argparse
import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def become(user: str) -> None:
    """Give up root for `uid:gid`, supplementary groups included."""
    uid, gid = (int(part) for part in user.split(":"))
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)


def die_with_parent(parent: int, signal_number: int) -> None:
    """Have the kernel send `signal_number` when the parent ends, by `kill -9` too. Linux only."""
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, signal_number, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != parent:
        # The parent ended before prctl, so no signal will come.
        sys.exit(1)


def main() -> None:
    parser = argparse.ArgumentParser(prog="tether")
    parser.add_argument("--parent", type=int, default=0)
    parser.add_argument("--signal", type=int, default=9)
    parser.add_argument("--user", default="")
    parser.add_argument("--reaches", default="")
    parser.add_argument("program", nargs="*")
    options = parser.parse_args()
    if options.user:
        become(options.user)
    if options.reaches:
        sys.exit(0 if os.access(options.reaches, os.X_OK) else 1)
    # After the change of account, which clears the setting.
    die_with_parent(options.parent, options.signal)
    os.umask(0o077)
    # The program would inherit blocked or ignored signals, and could not be stopped.
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGQUIT):
        signal.signal(number, signal.SIG_DFL)
    program: list[str] = options.program
    try:
        os.execv(program[0], program)  # noqa: S606 - an argument list, no shell
    except OSError as error:
        sys.exit(f"{program[0]}: {error.strerror}")


if __name__ == "__main__":
    main()

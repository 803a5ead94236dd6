"""Run a program that dies with its parent, under another account where asked.

A script of its own (`python -I -S tether.py …`) instead of a `preexec_fn`: between fork and exec of a
process with threads hardly anything is safe to call. It replaces itself by the program, so the process
id that the parent got stays right. It must not import anything of the project: it starts in 20 ms.

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
        # It was gone before the kernel knew about us, so no signal will ever come.
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
    # After the change of account: changing it clears the setting.
    die_with_parent(options.parent, options.signal)
    os.umask(0o077)
    # What a shell or a blocked parent set would go on in the program, and it would never stop.
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

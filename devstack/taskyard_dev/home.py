"""The directory of a server's files, and the lock that shows whether the server runs."""

import fcntl
import hashlib
import os
import secrets
import shutil
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

from taskyard_dev.account import Account
from taskyard_dev.errors import DataDirectoryInUse, StackError

LOG_LIMIT_BYTES = 10_000_000


def make_directory(path: Path) -> None:
    """Make `path` and the missing directories above it, closed to other accounts.

    Under root, PostgreSQL runs as another account, which may pass through the directories, but not list them.
    Directories that exist are left as they are.
    """
    for directory in reversed([path, *path.parents]):
        if not directory.exists():
            directory.mkdir(exist_ok=True)
            directory.chmod(0o711 if os.geteuid() == 0 else 0o700)


@contextmanager
def temporary(purpose: str) -> Iterator[Path]:
    """A directory for servers, which the account that PostgreSQL runs as under root may pass; removed at the end."""
    with tempfile.TemporaryDirectory(prefix=f"taskyard-{purpose}-") as name:
        Path(name).chmod(0o711)
        yield Path(name)


def place_data(data: Path, account: Account | None) -> Path:
    """The directory for the files of `data`, which `account` can reach.

    A checkout under /root or in another closed directory can't hold files of another account, and must not be opened
    for it. Then the files are kept in the system's state directory, and `take_over` makes `data` a link to them.
    """
    if data.is_symlink():
        target = data.resolve()
        make_directory(target.parent)
        return target
    if account is None or data.exists() or account.reaches(data.parent):
        return data.resolve()
    key = hashlib.sha256(os.fsencode(data.resolve())).hexdigest()[:16]
    home = state_directory() / key
    make_directory(home)
    (home / "belongs-to").write_text(f"{data}\n")
    return home / "data"


def take_over(target: Path, data: Path) -> None:
    """Point `data` at `target`, with its lock held.

    Existing files at `target` without a link to them belong to a data directory that was removed, to start afresh. They
    are kept once under another name, in case that was a mistake.
    """
    if target == data.resolve():
        return
    if target.exists():
        before = target.with_name("data.before")
        shutil.rmtree(before, ignore_errors=True)
        target.rename(before)
    data.symlink_to(target)


def state_directory() -> Path:
    """A directory of root that every account may pass through; if possible, it survives a reboot.

    /var/tmp and /tmp are the last choices: they are cleaned by age, file by file.
    """
    for parent in (Path("/var/lib"), Path("/var/tmp"), Path(tempfile.gettempdir())):  # noqa: S108
        directory = parent / "taskyard-dev"
        try:
            directory.mkdir(mode=0o711)
            directory.chmod(0o711)
        except FileExistsError:
            pass
        except OSError:
            continue
        found = directory.lstat()
        # In a world-writable directory, another account could have made it first.
        if stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & 0o022:
            return directory
    raise StackError("no place for PostgreSQL's files that the account 'nobody' could get to")


@contextmanager
def lock(path: Path, what: str, *, patience: timedelta) -> Iterator[int]:
    """Hold the lock of a data directory; yields the descriptor, for the server to inherit.

    The server and its children keep it open, so the kernel holds the lock exactly as long as one of them runs: there is
    no process id that could be stale, and nothing to clean up after `kill -9`.

    Raises `DataDirectoryInUse` where another process holds it for longer than `patience`: a server whose stack has just
    ended needs a moment to stop.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        deadline = time.monotonic() + patience.total_seconds()
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise DataDirectoryInUse(
                        f"a {what} of another stack is running on {path.parent}: stop that one, "
                        "or choose another directory with TASKYARD_DATA_DIR"
                    ) from None
            time.sleep(0.05)
        yield descriptor
    finally:
        os.close(descriptor)


def new_password() -> str:
    return secrets.token_urlsafe(24)


def secret(path: Path, make: Callable[[], str] = new_password) -> str:
    """The secret in `path`, made the first time. Readable by its owner only."""
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        value = make()
        write_private(path, value + "\n")
        return value


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner may read, atomically."""
    fresh = path.with_name(f"{path.name}.new")
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    fresh.replace(path)


def number_in(path: Path) -> int | None:
    """The number in a file of one line; `None` where there is none."""
    try:
        return int(path.read_text())
    except (FileNotFoundError, ValueError):
        return None


def open_log(path: Path) -> int:
    """Open a server's log for appending; a large one is renamed first."""
    if path.exists() and path.stat().st_size > LOG_LIMIT_BYTES:
        path.replace(path.with_name(f"{path.name}.1"))
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)


def log_since(path: Path, offset: int) -> str:
    """The last 20 lines of a log after its first `offset` bytes."""
    with path.open("rb") as log:
        log.seek(offset)
        return "\n".join(log.read().decode(errors="replace").splitlines()[-20:])

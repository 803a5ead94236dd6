"""The account that PostgreSQL runs as: it refuses to run as root."""

import functools
import os
import pwd
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from taskyard_dev.errors import StackError

TETHER = (sys.executable, "-I", "-S", str(Path(__file__).with_name("tether.py")))


@dataclass(frozen=True)
class Account:
    """A user of this machine that a server runs as instead of root."""

    uid: int
    gid: int

    @property
    def tether_argument(self) -> str:
        return f"{self.uid}:{self.gid}"

    def reaches(self, path: Path) -> bool:
        """Whether this account may enter `path`; found by trying, so that ACLs and mount options count."""
        command = [*TETHER, "--user", self.tether_argument, "--reaches", str(path)]
        return subprocess.run(command, check=False, capture_output=True, cwd="/").returncode == 0


def server_account(data: Path) -> Account | None:
    """The account for a server on this data directory: under root, the directory's owner, or `nobody` for a new one.
    Otherwise `None`: the server runs as the current user.

    Raises `StackError` where root can't become another user, as in some containers, or where the data belongs to
    another user.
    """
    owner = data.stat() if data.exists() else None
    if os.geteuid() != 0:
        if owner is not None and owner.st_uid != os.geteuid():
            raise StackError(f"{data} belongs to another account, root perhaps")
        return None
    if owner is not None and owner.st_uid != 0:
        return Account(owner.st_uid, owner.st_gid)
    return _nobody()


@functools.cache
def _nobody() -> Account:
    try:
        entry = pwd.getpwnam("nobody")
    except KeyError:
        raise StackError(
            "PostgreSQL refuses to run as root and this machine has no user 'nobody': start as another user"
        ) from None
    account = Account(entry.pw_uid, entry.pw_gid)
    if not account.reaches(Path("/")):
        raise StackError(
            "PostgreSQL refuses to run as root and root may not become 'nobody' here: start as another user"
        )
    return account

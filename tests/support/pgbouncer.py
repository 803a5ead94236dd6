"""A real pgbouncer in transaction mode in front of a database."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import sqlalchemy as sa

from tests.support.fleet import free_port, wait_for

_NOBODY = 65534

_CONFIGURATION = """\
[databases]
* = host={host} port={server_port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = trust
auth_file = {users}
pool_mode = transaction
default_pool_size = 5
max_client_conn = 200
"""


@contextmanager
def pgbouncer(*urls: str) -> Iterator[list[str]]:
    """The addresses through it, for addresses of one server with their users and passwords."""
    servers = [sa.make_url(url) for url in urls]
    port = free_port()
    # Not in a directory of pytest, which is closed to the user that pgbouncer runs as: it refuses to be root.
    with TemporaryDirectory() as directory:
        home = Path(directory)
        home.chmod(0o755)
        users, configuration, said = home / "users.txt", home / "pgbouncer.ini", home / "log"
        passwords = {url.username: url.password or "" for url in servers}
        users.write_text("".join(f'"{name}" "{password}"\n' for name, password in passwords.items()))
        configuration.write_text(
            _CONFIGURATION.format(host=servers[0].host, server_port=servers[0].port, port=port, users=users)
        )
        # In Debian's directory for daemons, which is not on everyone's PATH.
        program = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")
        assert program is not None, "make system-deps installs it"
        command = [program, str(configuration)]
        if os.geteuid() == 0:
            command = ["setpriv", f"--reuid={_NOBODY}", f"--regid={_NOBODY}", "--clear-groups", *command]
        with said.open("wb") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            wait_for(lambda: b"process up" in said.read_bytes(), 10, "pgbouncer")
            through = [url.set(host="127.0.0.1", port=port, query={"pgbouncer": "true"}) for url in servers]
            yield [url.render_as_string(hide_password=False) for url in through]
        finally:
            process.terminate()
            process.wait(10)

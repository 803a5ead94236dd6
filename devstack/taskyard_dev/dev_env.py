"""The secrets and addresses of one development stack: `.taskyard/dev.env`."""

from dataclasses import asdict, dataclass
from pathlib import Path

from cryptography.fernet import Fernet

from taskyard.environment import env_file
from taskyard_dev.home import write_private


@dataclass(frozen=True)
class DevEnv:
    """What every `taskyard*` command reads where nothing else is set; the variable of a field is `TASKYARD_<FIELD>`."""

    url: str
    api_key: str
    database_url: str
    redis_url: str
    api_metrics_url: str
    worker_metrics_url: str
    scheduler_metrics_url: str
    smtp_sink_dir: str

    def write(self, path: Path) -> None:
        """Readable by its owner only, because it holds passwords and an admin key."""
        write_private(path, env_file({f"TASKYARD_{name.upper()}": value for name, value in asdict(self).items()}))


def encryption_key(path: Path) -> str:
    """The key of secret parameters; made once, because tasks can't be read without it."""
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        key = Fernet.generate_key().decode()
        write_private(path, key + "\n")
        return key

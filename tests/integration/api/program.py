"""The commands of `taskyard-api` as processes."""

import os
import subprocess
import sys
from pathlib import Path

BIN = Path(sys.executable).parent


def environment(database_url: str, redis_url: str, **more: str) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith("TASKYARD_")}
    return {
        **kept,
        "TASKYARD_DATABASE_URL": database_url,
        "TASKYARD_REDIS_URL": redis_url,
        "TASKYARD_DIAGNOSTICS": "1",
        "TASKYARD_API_PORT": "0",
        "TASKYARD_METRICS_PORT": "0",
        "TASKYARD_LOG_FORMAT": "json",
        **more,
    }


def command(env: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(BIN / "taskyard-api"), *arguments], env=env, capture_output=True, text=True, check=False, timeout=60
    )

"""Settings: their sources, and the messages of wrong ones."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from taskyard.domain.buckets import Bucket, read_address
from taskyard.environment import InvalidSettings, env_file, read_env_file, read_kit_settings, read_settings
from taskyard.settings import DEFAULT_QUEUES, Settings
from taskyard_kits.mail.settings import MailSettings


@pytest.fixture(autouse=True)
def _nothing_is_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("os.environ", {})
    monkeypatch.chdir(tmp_path)


def environment(monkeypatch: pytest.MonkeyPatch, **variables: str) -> None:
    monkeypatch.setattr("os.environ", dict(variables))


def wrong(monkeypatch: pytest.MonkeyPatch, **variables: str) -> str:
    environment(monkeypatch, **variables)
    with pytest.raises(InvalidSettings) as caught:
        read_settings()
    return str(caught.value)


KEYS = [f"{'A' * 43}=", f"{'B' * 42}A="]

WRONG = [
    ("TASKYARD_DATABASE_URL", "mysql://u:hunter2@h/db"),
    ("TASKYARD_DATABASE_URL", "hunter2"),
    ("TASKYARD_DATABASE_URL", "postgresql://u:hunter2@h:port/db"),
    ("TASKYARD_DATABASE_URL", "postgresql://u:hunter2@h:70000/db"),
    ("TASKYARD_TASK_DATABASE_URL", "mysql://u:hunter2@h/db"),
    ("TASKYARD_REDIS_URL", "http://:hunter2@h"),
    ("TASKYARD_REDIS_URL", "redis:hunter2"),
    ("TASKYARD_REDIS_URL", "redis://:hunter2@h:x/0"),
    ("TASKYARD_REDIS_URL", "redis://:hunter2@h:6379/first"),
    ("TASKYARD_SECRET_KEYS", "hunter2"),
    ("TASKYARD_SECRET_KEYS", f"{KEYS[0]},hunter2"),
    ("TASKYARD_DB_POOL_SIZE", "0"),
    ("TASKYARD_DB_POOL_SIZE", "ten"),
    ("TASKYARD_DB_STATEMENT_TIMEOUT_SECONDS", "0"),
    ("TASKYARD_DB_STATEMENT_TIMEOUT_SECONDS", "inf"),
    ("TASKYARD_DB_STATEMENT_TIMEOUT_SECONDS", "1e300"),
    ("TASKYARD_REDIS_MAX_CONNECTIONS", "1"),
    ("TASKYARD_NAMESPACE", "a b"),
    ("TASKYARD_QUEUES", ","),
    ("TASKYARD_QUEUES", "default,lanes"),
    ("TASKYARD_QUEUES", "default,a:b"),
    ("TASKYARD_QUEUES", "default.DQ"),
    ("TASKYARD_WORKER_QUEUES", "default,höhe"),
    ("TASKYARD_WORKER_QUEUES", ",,"),
    ("TASKYARD_API_PORT", "80_00"),
    ("TASKYARD_WORKER_THREADS", "1_0"),
    ("TASKYARD_DRAIN_SECONDS", "1_0.5"),
    ("TASKYARD_DIAGNOSTICS", "perhaps"),
    ("TASKYARD_FAILPOINTS", "claim.before"),
    ("TASKYARD_TASK_TIMEOUT_HOURS", "nan"),
    ("TASKYARD_CRASH_LIMIT", "0"),
    ("TASKYARD_REPLAY_PER_SECOND", "0"),
    ("TASKYARD_API_PORT", "65536"),
    ("TASKYARD_TRUSTED_PROXIES", "10.0.0.0/8,proxy.example.org"),
    ("TASKYARD_CORS_ORIGINS", "*"),
    ("TASKYARD_CORS_ORIGINS", "app.example.org"),
    ("TASKYARD_CORS_ORIGINS", "https://app.example.org/"),
    ("TASKYARD_MAX_UPLOAD_BYTES", "1 GiB"),
    ("TASKYARD_RATE_LIMIT_PER_SECOND", "-1"),
    ("TASKYARD_WORKER_PROCESSES", "0"),
    ("TASKYARD_WORKER_PROCESSES", "4:2"),
    ("TASKYARD_WORKER_PROCESSES", "1:65"),
    ("TASKYARD_WORKER_PROCESSES", "2:"),
    ("TASKYARD_WORKER_PROCESSES", "many"),
    ("TASKYARD_WORKER_THREADS", "257"),
    ("TASKYARD_MAX_TASKS_PER_CHILD", "-1"),
    ("TASKYARD_DRAIN_SECONDS", "inf"),
    ("TASKYARD_HEARTBEAT_SECONDS", "0"),
    ("TASKYARD_LEADER_LEASE_SECONDS", "soon"),
    ("TASKYARD_LOG_LEVEL", "loud"),
    ("TASKYARD_LOG_FORMAT", "xml"),
    ("TASKYARD_METRICS_PORT", "-1"),
    ("DATABASE_URL", "hunter2"),
    ("REDIS_URL", "hunter2"),
    ("CELERY_WORKER_CONCURRENCY", "many"),
    ("CELERY_WORKER_MAX_TASKS_PER_CHILD", "-5"),
    ("TASK_TIMEOUT_HOURS", "0"),
    ("LOG_LEVEL", "loud"),
]  # fmt: skip


@pytest.mark.parametrize(("variable", "value"), WRONG, ids=lambda v: v)
def test_a_wrong_value_stops_with_one_line_that_names_the_variable_that_was_set(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    said = wrong(monkeypatch, **{variable: value})
    assert said.startswith(f"{variable}: ")
    assert len(said.splitlines()) == 1
    assert "hunter2" not in said


KNOWN = "development-only"
KNOWN_VALUES = {
    "TASKYARD_DATABASE_URL": f"postgresql://u:{KNOWN}@h/db",
    "DATABASE_URL": f"postgresql://u:{KNOWN}@h/db",
    "TASKYARD_TASK_DATABASE_URL": f"postgresql://t:{KNOWN}@h/db",
    "TASKYARD_LISTEN_URL": f"postgresql://u:{KNOWN}@h/db",
    "TASKYARD_REDIS_URL": f"redis://:{KNOWN}@h/0",
    "REDIS_PASSWORD": KNOWN,
    "TASKYARD_CACHE_URL": f"redis://:{KNOWN}@h/0",
    "TASKYARD_SECRET_KEYS": f"{KEYS[0]},{KNOWN}-{KNOWN}-weak-keys=",
    "TASKYARD_BOOTSTRAP_KEY": f"ty_develop0_{KNOWN}-{KNOWN}-weak-keys",
    "TASKYARD_API_KEY": f"ty_develop0_{KNOWN}-{KNOWN}-weak-keys",
}


@pytest.mark.parametrize("variable", KNOWN_VALUES)
@pytest.mark.parametrize("app_env", ["APP_ENV", "TASKYARD_APP_ENV"])
def test_a_development_value_is_refused_in_production_by_its_name_and_never_shown(
    monkeypatch: pytest.MonkeyPatch, variable: str, app_env: str
) -> None:
    given = {variable: KNOWN_VALUES[variable], "REDIS_HOST": "h"}
    environment(monkeypatch, **given)
    read_settings()
    said = wrong(monkeypatch, **given, **{app_env: "production"})
    assert said.startswith(f"{variable}: ")
    assert KNOWN not in said
    assert len(said.splitlines()) == 1


def test_all_development_values_are_named_at_once_wherever_they_come_from(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "TASKYARD_SMTP_PASSWORD").write_text(KNOWN)
    (tmp_path / "TASKYARD_REDIS_URL").write_text(f"redis://:{KNOWN}@h/0")
    environment(
        monkeypatch,
        APP_ENV="Production",
        TASKYARD_SECRETS_DIR=str(tmp_path),
        TASKYARD_DATABASE_URL=f"postgresql://u:{KNOWN}@h/db",
    )
    with pytest.raises(InvalidSettings, match=r"^TASKYARD_DATABASE_URL, TASKYARD_REDIS_URL: "):
        read_settings()
    with pytest.raises(InvalidSettings, match=r"^TASKYARD_BOOTSTRAP_KEY, TASKYARD_REDIS_URL: "):
        read_settings(database_url="postgresql://h/db", bootstrap_key=KNOWN_VALUES["TASKYARD_BOOTSTRAP_KEY"])
    with pytest.raises(InvalidSettings, match=r"^TASKYARD_SMTP_PASSWORD: "):
        read_kit_settings(MailSettings)


@pytest.mark.parametrize("value", ["claim.befor", "claim.before:0", "claim.before:x"])
def test_a_failpoint_that_does_not_exist_is_refused(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    said = wrong(monkeypatch, TASKYARD_FAILPOINTS=value, TASKYARD_DIAGNOSTICS="1")
    assert said.startswith("TASKYARD_FAILPOINTS: ")
    assert len(said.splitlines()) == 1


def test_a_lease_shorter_than_two_beats_names_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    said = wrong(monkeypatch, TASKYARD_WORKER_LEASE_SECONDS="9", TASKYARD_HEARTBEAT_SECONDS="5")
    assert said.startswith("TASKYARD_WORKER_LEASE_SECONDS")
    assert len(said.splitlines()) == 1


@pytest.mark.parametrize(
    ("variable", "value", "field"),
    [
        ("DATABASE_URL", "postgres://u@h/db", "database_url"),
        ("REDIS_URL", "redis://h:6380/2", "redis_url"),
        ("CELERY_WORKER_CONCURRENCY", "7", "worker_threads"),
        ("CELERY_WORKER_MAX_TASKS_PER_CHILD", "9", "max_tasks_per_child"),
        ("TASK_TIMEOUT_HOURS", "2.5", "task_timeout_hours"),
        ("TEMP_DIR", "elsewhere", "temp_dir"),
        ("APP_ENV", "production", "app_env"),
        ("LOG_LEVEL", "WARNING", "log_level"),
    ],
)
def test_the_plain_names_of_earlier_systems_are_understood_and_ours_win(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, field: str
) -> None:
    default = getattr(read_settings(), field)
    environment(monkeypatch, **{variable: value})
    older = getattr(read_settings(), field)
    assert older != default
    name = f"TASKYARD_{field.upper()}"
    environment(monkeypatch, **{variable: value, name: _shown(default)})
    assert getattr(read_settings(), field) == default


def _shown(value: object) -> str:
    return str(value.get_secret_value()) if hasattr(value, "get_secret_value") else str(value)


def test_several_servers_are_named_as_libpq_names_them() -> None:
    given = "postgresql://u:p%40ss@a:5433,b,[::1]:5434/db?target_session_attrs=read-write"
    url = sa.make_url(read_settings(database_url=given).database_url.get_secret_value())
    assert (url.username, url.password, url.database, url.host) == ("u", "p@ss", "db", None)
    assert url.query == {"host": ("a:5433", "b", "[::1]:5434"), "target_session_attrs": "read-write"}


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_every_way_of_writing_a_postgresql_url_means_psycopg_3(monkeypatch: pytest.MonkeyPatch, scheme: str) -> None:
    environment(monkeypatch, DATABASE_URL=f"{scheme}://u:p%40ss@[::1]:5433/db?sslmode=require")
    url = read_settings().database_url.get_secret_value()
    assert url == "postgresql+psycopg://u:p%40ss@[::1]:5433/db?sslmode=require"


def test_redis_may_be_given_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    environment(monkeypatch, REDIS_HOST="cache", REDIS_PASSWORD="p@ss/w:rd", REDIS_DB="3")
    assert read_settings().redis_url.get_secret_value() == "redis://:p%40ss%2Fw%3Ard@cache:6379/3"
    environment(monkeypatch, REDIS_HOST="cache", REDIS_PORT="7000", REDIS_URL="")
    assert read_settings().redis_url.get_secret_value() == "redis://cache:7000/0"
    environment(monkeypatch, REDIS_HOST="cache", REDIS_URL="redis://other/1")
    assert read_settings().redis_url.get_secret_value() == "redis://other/1"


def test_an_empty_variable_is_one_that_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    environment(monkeypatch, TASKYARD_WORKER_THREADS="", CELERY_WORKER_CONCURRENCY="6", TASKYARD_QUEUES="")
    settings = read_settings()
    assert settings.worker_threads == 6
    assert settings.queues == DEFAULT_QUEUES


def test_lists_are_written_with_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    environment(
        monkeypatch,
        TASKYARD_QUEUES=" a, b ,,a",
        TASKYARD_SECRET_KEYS=f" {KEYS[0]}, {KEYS[1]}",
        TASKYARD_TASK_MODULES="mine.tasks",
    )
    settings = read_settings()
    assert settings.queues == ("a", "b")
    assert [key.get_secret_value() for key in settings.secret_keys] == KEYS
    assert settings.task_modules == ("mine.tasks",)


def test_flags_win_over_the_environment_unless_they_are_not_given(monkeypatch: pytest.MonkeyPatch) -> None:
    environment(monkeypatch, TASKYARD_WORKER_THREADS="3", TASKYARD_LOG_LEVEL="debug")
    settings = read_settings(worker_threads=5, log_level=None)
    assert (settings.worker_threads, settings.log_level) == (5, "debug")
    with pytest.raises(InvalidSettings, match=r"^TASKYARD_WORKER_THREADS: "):
        read_settings(worker_threads=0)


def test_secrets_come_from_files_and_the_environment_wins(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "taskyard_smtp_password").write_text("from-file\n")
    (tmp_path / "s" / "TASKYARD_API_KEY").write_text("key-from-file")
    (tmp_path / "s" / "REDIS_PASSWORD").write_text("redis-from-file")
    (tmp_path / "s" / "..data").mkdir()
    environment(
        monkeypatch,
        TASKYARD_SECRETS_DIR=str(tmp_path / "s"),
        TASKYARD_API_KEY="key-from-environment",
        TASKYARD_SMTP_PASSWORD="",
        REDIS_HOST="cache",
    )
    settings = read_settings()
    mail = read_kit_settings(MailSettings)
    assert mail.smtp_password is not None
    assert mail.smtp_password.get_secret_value() == "from-file"
    assert settings.api_key is not None
    assert settings.api_key.get_secret_value() == "key-from-environment"
    assert settings.redis_url.get_secret_value() == "redis://:redis-from-file@cache:6379/0"


def test_a_secrets_directory_that_cannot_be_read_stops_with_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    said = wrong(monkeypatch, TASKYARD_SECRETS_DIR=str(tmp_path / "missing"))
    assert said.startswith("TASKYARD_SECRETS_DIR: ")
    (tmp_path / "TASKYARD_API_KEY").write_bytes(b"\xff\xfe")
    said = wrong(monkeypatch, TASKYARD_SECRETS_DIR=str(tmp_path))
    assert said.startswith("TASKYARD_SECRETS_DIR: ")
    assert len(said.splitlines()) == 1


DEV_ENV = """# made by taskyard up
TASKYARD_DATABASE_URL=postgresql://dev@127.0.0.1:5555/dev
TASKYARD_REDIS_URL='redis://127.0.0.1:5556/0'
TASKYARD_WORKER_THREADS=2
"""


def test_the_development_stacks_file_is_read_where_nothing_else_is_set(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for place in (tmp_path / ".taskyard", tmp_path / "moved"):
        place.mkdir()
        (place / "dev.env").write_text(DEV_ENV)
    environment(monkeypatch, TASKYARD_WORKER_THREADS="9")
    settings = read_settings()
    assert settings.database_url.get_secret_value().endswith("@127.0.0.1:5555/dev")
    assert settings.redis_url.get_secret_value() == "redis://127.0.0.1:5556/0"
    assert settings.worker_threads == 9
    (tmp_path / ".taskyard" / "dev.env").unlink()
    environment(monkeypatch, TASKYARD_DATA_DIR=str(tmp_path / "moved"))
    assert read_settings().database_url.get_secret_value().endswith(":5555/dev")


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("DATABASE_URL", "postgresql://u@elsewhere/db"),
        ("TASKYARD_REDIS_URL", "redis://elsewhere/0"),
        ("REDIS_HOST", "elsewhere"),
        ("TASKYARD_URL", "https://tasks.example"),
    ],
)
def test_an_environment_that_names_other_servers_gets_nothing_of_the_development_stack(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variable: str, value: str
) -> None:
    (tmp_path / ".taskyard").mkdir()
    (tmp_path / ".taskyard" / "dev.env").write_text(DEV_ENV)
    environment(monkeypatch, **{variable: value})
    settings = read_settings()
    assert "5555" not in settings.database_url.get_secret_value()
    assert "5556" not in settings.redis_url.get_secret_value()


@pytest.mark.parametrize("pointing", [{}, {"TASKYARD_DATABASE_URL": "postgresql://dev@127.0.0.1:5555/dev"}])
def test_an_environment_that_means_the_development_stack_gets_its_services_settings(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, pointing: dict[str, str]
) -> None:
    """Whether dev.env was sourced or not."""
    place = tmp_path / ".taskyard"
    place.mkdir()
    (place / "dev.env").write_text(DEV_ENV + "TASKYARD_API_KEY=key\n")
    (place / "services.env").write_text(f"TASKYARD_DIAGNOSTICS=1\nTASKYARD_SECRET_KEYS={KEYS[0]}\n")
    environment(monkeypatch, **pointing)
    settings = read_settings()
    assert settings.diagnostics is True
    assert [key.get_secret_value() for key in settings.secret_keys] == KEYS[:1]
    assert (settings.api_key is None) is bool(pointing)
    environment(monkeypatch, **pointing, TASKYARD_REDIS_URL="redis://elsewhere/0")
    assert read_settings().diagnostics is False


@pytest.mark.parametrize("value", ["plain", "/a dir/it's", '$HOME "x" \\', "", "# no comment", "a=b"])
def test_a_file_of_variables_means_the_same_to_a_shell_and_to_us(tmp_path: Path, value: str) -> None:
    path = tmp_path / "dev.env"
    path.write_text(env_file({"TASKYARD_X": value, "TASKYARD_Y": "y"}))
    assert read_env_file(path) == {"TASKYARD_X": value, "TASKYARD_Y": "y"}
    shell = ["/bin/sh", "-ec", 'set -a; . "$0"; printf %s "$TASKYARD_X"', str(path)]
    assert subprocess.check_output(shell, text=True, env={"HOME": "/root"}) == value


def test_lines_written_by_hand_are_understood(tmp_path: Path) -> None:
    path = tmp_path / "dev.env"
    path.write_text(" # comment\nA = two words\nB=it's\n\nC\nD=\n")
    assert read_env_file(path) == {"A": "two words", "B": "it's", "D": ""}
    assert read_env_file(tmp_path / "none") == {}


def test_no_secret_is_ever_shown() -> None:
    settings = read_settings(
        database_url="postgresql://u:hunter2@h/db",
        redis_url="redis://:hunter2@h/0",
        secret_keys=f"hunter2{'A' * 36}=",
        bootstrap_key="hunter2",
        api_key="hunter2",
    )
    for shown in (repr(settings), str(settings), str(settings.model_dump()), settings.model_dump_json()):
        assert "hunter2" not in shown


def test_settings_do_not_change() -> None:
    with pytest.raises(ValidationError):
        read_settings().worker_threads = 5  # type: ignore[misc]


TEXTS = st.text(st.characters(), max_size=30)


@given(st.dictionaries(st.sampled_from(sorted(Settings.model_fields)), TEXTS, max_size=4))
def test_any_text_in_any_setting_is_accepted_or_stops_with_one_line(values: dict[str, str]) -> None:
    said = "TASKYARD_"
    try:
        read_settings(**values)
    except InvalidSettings as e:
        said = str(e)
    assert len(said.splitlines()) == 1
    assert said.startswith("TASKYARD_")


@pytest.mark.parametrize(
    ("value", "shown", "bounds"), [("3", "3", (3, 3)), ("2:8", "2:8", (2, 8)), (" 4:4 ", "4", (4, 4))]
)
def test_a_worker_may_have_a_number_of_processes_or_a_range(
    monkeypatch: pytest.MonkeyPatch, value: str, shown: str, bounds: tuple[int, int]
) -> None:
    environment(monkeypatch, TASKYARD_WORKER_PROCESSES=value)
    found = read_settings().worker_processes
    assert (found.minimum, found.maximum) == bounds
    assert str(found) == shown


@pytest.mark.parametrize(
    ("url", "where"),
    [
        ("file:///var/lib/files", Path("/var/lib/files")),
        ("s3://bucket", Bucket("bucket", "")),
        ("s3://bucket/a/b/", Bucket("bucket", "a/b/")),
        (
            "s3://bucket/a?endpoint=http://127.0.0.1:9000&region=eu&path_style=false",
            Bucket("bucket", "a/", endpoint="http://127.0.0.1:9000", region="eu", path_style=False),
        ),
    ],
)
def test_the_storage_is_a_directory_or_a_bucket(url: str, where: Path | Bucket) -> None:
    assert read_address(read_settings(storage_url=url).storage_url or "") == where


@pytest.mark.parametrize(
    "url",
    [
        "relative", "file://relative", "file://host/path", "s3:///prefix", "s3://bucket/../up", "s3://key:secret@bucket/",
        "s3://bucket?endpoint=ftp://x", "s3://bucket?other=1", "s3://bucket?path_style=maybe", "gs://bucket",
        "s3://bucket#part",
    ],
)  # fmt: skip
def test_another_storage_is_refused_in_one_line_without_the_value(url: str) -> None:
    with pytest.raises(InvalidSettings) as caught:
        read_settings(storage_url=url)
    assert "TASKYARD_STORAGE_URL" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "secret" not in str(caught.value)

"""What the container files promise, as far as it shows without a Docker engine (`make smoke` has one)."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic_settings import BaseSettings

from taskyard_kits.mail.settings import MailSettings
from taskyard_kits.models.settings import ProviderSettings
from taskyard_kits.payments.settings import PaymentSettings
from taskyard_worker.child import composition as child
from taskyard_worker.child import connections
from taskyard_worker.supervisor import composition as supervisor
from tests.support.cases import one_in
from tests.support.deployed_settings import names_of_settings

ROOT = Path(__file__).parents[2]
COMPOSE_TEXT = (ROOT / "docker-compose.yml").read_text("utf-8")
COMPOSE: dict[str, Any] = yaml.safe_load(COMPOSE_TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
DOCKERFILES = sorted((ROOT / "deploy/docker").glob("*.Dockerfile"))
WORKER = (ROOT / "deploy/docker/worker.Dockerfile").read_text("utf-8")
OURS = {name for name, service in SERVICES.items() if "build" in service}
EXAMPLE = (ROOT / "deploy/compose.env.example").read_text("utf-8")

MONITORING = {"prometheus", "alertmanager", "grafana"}

# What a service may be trusted with; whatever isn't listed here gets none of them.
SECRETS = {
    "TASKYARD_CONSOLE_API_KEY": {"console"},
    "TASKYARD_CONSOLE_OIDC_CLIENT_SECRET": {"console"},
    "TASKYARD_CONSOLE_SECRETS": {"console"},
    "TASKYARD_CONSOLE_USERS": {"console"},
    "TASKYARD_SECRET_KEYS": {"api", "worker", "worker-geo", "migrate"},
    "TASKYARD_SMTP_PASSWORD": {"worker", "worker-geo"},
    "LITELLM_API_KEY": {"worker", "worker-geo"},
    "STRIPE_SECRET_KEY": {"worker", "worker-geo"},
    "TASKYARD_SELECTION_GOOGLE_KEY_FILE": {"worker-geo"},
    "TASKYARD_TASK_DATABASE_URL": {"worker", "worker-geo", "migrate"},
    "TASKYARD_BOOTSTRAP_KEY": {"migrate"},
    "TASKYARD_API_KEY": set(),
}


def dockerfile_of(service: dict[str, Any]) -> str:
    path: str = service["build"]["dockerfile"]
    return (ROOT / path).read_text("utf-8")


def default_of(argument: str) -> str:
    """Of a build argument of the worker's Dockerfile."""
    [value] = re.findall(rf"^ARG {argument}=(\S+)$", WORKER, re.MULTILINE)
    return str(value)


def final_stage(dockerfile: str) -> str:
    return dockerfile[dockerfile.rindex("\nFROM ") :]


def test_the_services_are_those_of_the_architecture() -> None:
    expected = {"postgres", "redis", "migrate", "api", "worker", "worker-geo", "scheduler", "console", "smtp-sink"}
    assert {name for name, service in SERVICES.items() if "profiles" not in service} == expected
    assert {name: service["profiles"] for name, service in SERVICES.items() if "profiles" in service} == {
        name: ["monitoring"] for name in MONITORING
    }
    assert SERVICES["scheduler"]["scale"] == 2


def test_the_file_is_read_by_docker_compose_1_29_and_by_v2() -> None:
    # The one refuses `name`, the other warns of `version`.
    assert {key for key in COMPOSE if not key.startswith("x-")} == {"services", "volumes"}


@pytest.mark.parametrize("name", SERVICES)
def test_each_service_is_bounded_confined_and_started_again(name: str) -> None:
    service = SERVICES[name]
    assert service["mem_limit"]
    assert service["mem_reservation"]
    assert service["logging"]["options"]["max-size"]
    assert service["logging"]["options"]["max-file"]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    # A job that has come to its end stays there.
    assert service["restart"] == ("no" if name == "migrate" else "unless-stopped")


@pytest.mark.parametrize("name", sorted(SERVICES.keys() - {"migrate"}))
def test_each_service_has_a_health_check(name: str) -> None:
    service = SERVICES[name]
    check = service.get("healthcheck", {})
    assert not check.get("disable")
    if "test" in check:
        return
    assert re.search(r"^HEALTHCHECK .*\n +CMD ", final_stage(dockerfile_of(service)), re.MULTILINE)


@pytest.mark.parametrize("name", SERVICES)
def test_images_have_a_version(name: str) -> None:
    image = SERVICES[name]["image"]
    assert ":" in image
    assert "latest" not in image


@pytest.mark.parametrize("settings", [PaymentSettings, ProviderSettings])
def test_workers_are_given_what_their_kits_read(settings: type[BaseSettings]) -> None:
    given = SERVICES["worker"]["environment"].keys()
    for name, field in settings.model_fields.items():
        assert given & set(getattr(field.validation_alias, "choices", ())), name


def test_memory_is_what_the_design_says() -> None:
    limits = {
        name: (SERVICES[name]["mem_limit"], SERVICES[name]["mem_reservation"]) for name in ("worker", "worker-geo")
    }
    assert limits == {"worker": ("512m", "256m"), "worker-geo": ("2g", "1g")}


def test_redis_keeps_what_it_was_given() -> None:
    command = " ".join(SERVICES["redis"]["command"])
    assert "--maxmemory-policy noeviction" in command
    assert "--appendonly yes" in command
    assert "--maxmemory 512mb" in command
    assert SERVICES["redis"]["volumes"] == ["redis:/data"]


def test_only_api_console_and_the_pages_of_monitoring_can_be_reached_and_only_from_this_machine() -> None:
    ports = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert ports.keys() == MONITORING
    assert all(re.fullmatch(r"127\.0\.0\.1:\$\{\w+:-(\d+)\}:\1", port) for [port] in ports.values())
    override = yaml.safe_load((ROOT / "docker-compose.override.yml").read_text("utf-8"))
    assert override == {
        "services": {
            "api": {"ports": ["${API_BIND:-127.0.0.1}:${API_PORT:-8000}:8000"]},
            "console": {"ports": ["${CONSOLE_BIND:-127.0.0.1}:${CONSOLE_PORT:-8100}:8100"]},
        }
    }


def test_workers_can_be_many() -> None:
    assert not SERVICES["worker"].keys() & {"container_name", "hostname", "ports"}
    assert SERVICES["worker-geo"]["command"][-2:] == ["--threads", "1"]
    assert SERVICES["worker-geo"]["command"][2] == "geo_processing,selection"


@pytest.mark.parametrize("name", ["api", "worker", "worker-geo", "scheduler"])
def test_the_servers_start_before_the_services_and_stop_after_them(name: str) -> None:
    # docker-compose 1.29 stops by these alone: migrate, long done, is no bridge to postgres.
    conditions = {other: on["condition"] for other, on in SERVICES[name]["depends_on"].items()}
    assert conditions == {
        "migrate": "service_completed_successfully",
        "postgres": "service_healthy",
        "redis": "service_healthy",
    }


def test_the_pages_say_how_many_connections_a_worker_holds() -> None:
    """As many as the pools of its supervisor and of its two children of four threads."""
    worker = ROOT / "services/worker/taskyard_worker"
    places = ("supervisor/composition.py", "child/connections.py", "child/composition.py")
    texts = [(worker / place).read_text() for place in places]
    pools = [serves for text in texts for serves in re.findall(r"serves=(\w+)", text)]
    assert pools == ["LEDGER_THREADS", "LEDGER_THREADS", "SUBMITS"]
    assert "threads=plan.threads,\n        coroutines=COROUTINES,\n" in texts[2]  # of the database of tasks
    of_child = (len(connections.LEDGER_THREADS), len(connections.SUBMITS), child.COROUTINES)
    sizes = (len(supervisor.LEDGER_THREADS), *of_child)
    assert sizes == (2, 3, 3, 4)
    expected = 2 + 2 * (3 + 3 + 4 + 4)
    assert f"holds up to {expected} connections" in COMPOSE_TEXT
    assert f"({expected} as shipped)" in (ROOT / "docs/operations.md").read_text()


def test_the_services_share_the_files() -> None:
    for name in ("api", "worker", "worker-geo", "scheduler"):
        volume = SERVICES[name]["volumes"][0]
        source, target, *options = volume.split(":")
        assert source == "storage"
        assert options == (["ro"] if name == "scheduler" else []), "a scheduler reads archives"
        # A new volume takes over the owner of what the image has in its place.
        dockerfile = dockerfile_of(SERVICES[name])
        assert f"install -d -o 10001 -g 10001 -m 0750 {target}\n" in dockerfile
        assert f"TASKYARD_STORAGE_DIR={target} " in dockerfile


def test_files_may_be_in_a_bucket_of_which_these_services_have_the_keys() -> None:
    for name in ("api", "worker", "worker-geo", "scheduler"):
        assert {"TASKYARD_STORAGE_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"} <= set(
            SERVICES[name]["environment"]
        )
        lock = SERVICES[name]["build"].get("args", {}).get("LOCK", name)
        assert re.search(r"^boto3==", (ROOT / f"requirements/{lock}.txt").read_text(), re.MULTILINE)


def test_the_key_file_of_google_sheets_is_mounted_where_the_setting_names_it() -> None:
    setting = "TASKYARD_SELECTION_GOOGLE_KEY_FILE"
    worker = SERVICES["worker-geo"]
    [mount] = [volume for volume in worker["volumes"] if isinstance(volume, dict)]
    assert (mount["type"], mount["read_only"]) == ("bind", True)
    given = [str(value).replace("${" + setting, "") for value in (worker["environment"][setting], *mount.values())]
    assert given[0] == ":-}", "unset, the setting is empty, which is as good as none"
    assert {":-/dev/null}", ":-/run/no-google-key}"} <= set(given)
    # What the other workers have, it has, too.
    assert set(SERVICES["worker"]["environment"]) == set(worker["environment"]) - {setting}
    assert set(SERVICES["worker"]["volumes"]) <= {volume for volume in worker["volumes"] if isinstance(volume, str)}


def test_temporary_files_of_tasks_are_on_a_disk_and_not_in_memory() -> None:
    for name in ("worker", "worker-geo"):
        assert "temp:/var/lib/taskyard/temp" in SERVICES[name]["volumes"]
        dockerfile = dockerfile_of(SERVICES[name])
        assert "install -d -o 10001 -g 10001 -m 0750 /var/lib/taskyard/temp\n" in dockerfile
        assert "TASKYARD_TEMP_DIR=/var/lib/taskyard/temp\n" in dockerfile


@pytest.mark.parametrize("secret", SECRETS)
def test_each_service_gets_only_the_secrets_it_needs(secret: str) -> None:
    holders = {name for name, service in SERVICES.items() if secret in service.get("environment", {})}
    assert holders == SECRETS[secret]


@pytest.mark.parametrize("name", sorted(OURS))
def test_variables_of_the_services_are_settings(name: str) -> None:
    given = set(SERVICES[name].get("environment", {}))
    given |= set(re.findall(r"\b(TASKYARD_[A-Z_]+)=", final_stage(dockerfile_of(SERVICES[name]))))
    # API_BIND is read by migrate's own script, the credentials of a bucket by boto3.
    others = {"API_BIND", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "OTEL_EXPORTER_OTLP_ENDPOINT"}
    assert given - others <= names_of_settings()


def variables_of_compose() -> set[str]:
    """What `.env` has an effect on."""
    files = [(ROOT / f"docker-compose.{name}yml").read_text("utf-8") for name in ("", "override.", "production.")]
    return {"COMPOSE_FILE", *re.findall(r"\$\{([A-Z_]+)", "".join(files))}


def test_the_example_names_every_variable_and_no_other() -> None:
    assert set(re.findall(r"^#?([A-Z_]+)=", EXAMPLE, re.MULTILINE)) == variables_of_compose()


def settings_page(heading: str) -> str:
    """The part of docs/operations.md under a heading, up to the next one."""
    text = (ROOT / "docs/operations.md").read_text("utf-8")
    return re.split(r"^#{2,4} ", text.split(f"\n{heading}\n")[1], flags=re.MULTILINE)[0]


def test_every_row_of_the_settings_for_production_has_an_effect_in_env() -> None:
    table = settings_page("## Settings for production").split("\nEach service gets only")[0]
    cells = re.findall(r"^\| (`[^|]+) \|", table, re.MULTILINE)
    rows = {name.partition("=")[0] for cell in cells for name in re.findall(r"`([^`]+)`", cell)}
    assert "TASKYARD_SMTP_*" in rows
    rows |= {f"TASKYARD_{name.upper()}" for name in MailSettings.model_fields if name.startswith("smtp_")}
    assert rows - {"TASKYARD_SMTP_*"} <= variables_of_compose()


def test_servers_of_your_own_reach_every_service_and_take_the_place_of_the_bundled_ones() -> None:
    [text] = re.findall(r"```yaml\n(.*?)```", settings_page("### Redis and PostgreSQL of your own"), re.DOTALL)
    own = yaml.safe_load(text)["services"]
    with_servers = OURS - {"smtp-sink", "console"}  # the console knows the API alone
    assert own.keys() == with_servers | {"postgres", "redis"}
    assert own["postgres"] == own["redis"] == {"scale": 0}
    production = yaml.safe_load((ROOT / "docker-compose.production.yml").read_text("utf-8"))["services"]
    for name in with_servers:
        environment = {**SERVICES[name]["environment"], **production[name]["environment"], **own[name]["environment"]}
        assert not [value for value in environment.values() if re.search(r"@(postgres|redis):", value)], name
        assert own[name]["environment"].keys() <= names_of_settings()
        # And no service is given what it was not given before.
        assert own[name]["environment"].keys() - {"TASKYARD_REDIS_CA_FILE"} <= SERVICES[name]["environment"].keys()
        [mount] = own[name]["volumes"]
        assert environment["TASKYARD_REDIS_CA_FILE"].startswith(mount.split(":")[1])
    assert set(re.findall(r"\$\{(\w+)", text)) <= variables_of_compose()


COMMANDS = {
    "api": ["taskyard-api", "serve"],
    "migrate": ["taskyard-api", "migrate"],
    "worker": ["taskyard-worker", "run"],
    "worker-geo": ["taskyard-worker", "run"],
    "scheduler": ["taskyard-scheduler", "run"],
    "console": ["taskyard-console", "serve"],
}


def started(name: str, environment: dict[str, str], directory: Path) -> subprocess.CompletedProcess[str]:
    program, *arguments = COMMANDS[name]
    return subprocess.run(
        [Path(sys.executable).parent / program, *arguments],
        env={**environment, "PATH": "/usr/bin:/bin"},
        cwd=directory,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize("name", one_in(5, COMMANDS))
def test_a_service_that_is_started_in_production_refuses_values_that_everybody_knows(name: str, tmp_path: Path) -> None:
    done = started(name, {**defaults_of(name), "TASKYARD_APP_ENV": "production"}, tmp_path)
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (2, "", 1), done.stderr
    assert "development-only" not in done.stderr
    known = {variable for variable, value in defaults_of(name).items() if "development-only" in value}
    assert known == set(done.stderr.split(": ")[1].split(", "))


@pytest.mark.parametrize("name", one_in(5, COMMANDS))
def test_a_service_that_is_started_in_production_names_what_is_missing(name: str, tmp_path: Path) -> None:
    needed = {variable for variable in defaults_of(name) if variable in {"TASKYARD_DATABASE_URL", "TASKYARD_REDIS_URL"}}
    needed |= {"TASKYARD_SECRET_KEYS"} & set(defaults_of(name))
    if name == "migrate":
        needed = {"TASKYARD_DATABASE_URL"}
    if name == "console":
        needed = {"TASKYARD_CONSOLE_SECRETS", "TASKYARD_URL"}
    done = started(name, {"APP_ENV": "production", "TASKYARD_REDIS_URL": "", "TASKYARD_SECRET_KEYS": ""}, tmp_path)
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (2, "", 1), done.stderr
    assert needed == set(done.stderr.split(": ")[1].split(", "))


@pytest.mark.parametrize("name", ["api", "worker", "worker-geo"])
def test_a_service_that_is_started_in_production_has_a_place_for_files(name: str, tmp_path: Path) -> None:
    """As on a read-only root, where neither a bucket nor a volume was given."""
    (tmp_path / "read-only").touch()
    environment = {
        "APP_ENV": "production",
        "TASKYARD_DATABASE_URL": "postgresql://h/db",
        "TASKYARD_REDIS_URL": "redis://h/0",
        "TASKYARD_SECRET_KEYS": "A" * 43 + "=",
        "TASKYARD_STORAGE_DIR": f"{tmp_path}/read-only/storage",
    }
    done = started(name, environment, tmp_path)
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (2, "", 1), done.stderr
    assert done.stderr.split(": ")[1] == "TASKYARD_STORAGE_URL"


@pytest.mark.parametrize(
    ("changed", "app_env"),
    [
        ({}, "development"),
        ({"TASKYARD_APP_ENV": "production"}, "production"),
        ({"API_BIND": "0.0.0.0"}, "production"),
        ({"API_BIND": "192.0.2.7"}, "production"),
        ({"API_BIND": "[::]"}, "production"),
    ],
)
def test_what_others_can_reach_is_held_to_what_production_asks_for(
    changed: dict[str, str], app_env: str, tmp_path: Path
) -> None:
    done = migrate({**defaults_of("migrate"), **changed}, tmp_path)
    assert (done.returncode, done.stdout) == (0, f"migrate {app_env}\nkeys bootstrap {app_env}\n")


def defaults_of(name: str) -> dict[str, str]:
    """The service's environment where nothing is set."""
    environment = SERVICES[name]["environment"]
    return {key: re.sub(r"\$\{[A-Z_]+:-([^}]*)\}", r"\1", value) for key, value in environment.items()}


def migrate(environment: dict[str, str], directory: Path) -> subprocess.CompletedProcess[str]:
    """Run the service's script with a `taskyard-api` that only says what it was asked."""
    program = directory / "taskyard-api"
    program.write_text('#!/bin/sh\necho "$* $TASKYARD_APP_ENV"\n')
    program.chmod(0o755)
    [script] = SERVICES["migrate"]["command"]
    return subprocess.run(
        [*SERVICES["migrate"]["entrypoint"], script.replace("$$", "$")],
        env={**environment, "PATH": f"{directory}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
        timeout=20,
    )


def test_each_service_of_ours_has_a_dockerfile() -> None:
    assert {path.name for path in DOCKERFILES} == {
        f"{name}.Dockerfile" for name in ("api", "worker", "scheduler", "console", "smtp-sink")
    }
    assert {SERVICES[name]["build"]["dockerfile"] for name in OURS} == {
        f"deploy/docker/{path.name}" for path in DOCKERFILES
    }


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.stem)
def test_dockerfiles(path: Path) -> None:
    text = path.read_text("utf-8")
    final = final_stage(text)
    # It would be fetched from a registry; nothing here needs it.
    assert not re.search(r"^#\s*syntax\s*=", text, re.MULTILINE | re.IGNORECASE)
    assert set(re.findall(r"^FROM (\S+)", text, re.MULTILINE)) == {"python:3.11-slim"}
    assert re.findall(r"^USER (.+)$", text, re.MULTILINE) == ["10001:10001"]
    assert "STOPSIGNAL SIGTERM" in final
    [licences] = re.findall(r'org.opencontainers.image.licenses="(.+)"', final)
    assert (default_of("LICENSES") if licences == "${LICENSES}" else licences) == "Apache-2.0"
    # Packages come from the build stage, by their hashes, and only those of this service.
    assert "pip" not in final
    assert text.count("--require-hashes") == text.count(" -r requirements/") == 2
    locks = set(re.findall(r"-r requirements/(\S+)\.txt", text))
    assert {default_of("LOCK") if lock == "${LOCK}" else lock for lock in locks} == {"build", path.stem}


def test_the_image_of_a_worker_that_makes_rasters_holds_its_kits_and_no_others() -> None:
    build, locks = SERVICES["worker-geo"]["build"], locks_of_workers()
    assert build["args"]["LOCK"] == "worker-geo"
    assert set(build["args"]["KITS"].split(",")) == set(locks["worker-geo"].split())
    assert SERVICES["worker-geo"]["image"].startswith("taskyard/worker-geo:")
    # Its kit `selection` has a library under the GPL, which then holds for the image.
    assert build["args"]["LICENSES"] == "Apache-2.0 AND GPL-3.0-only"
    assert "args" not in SERVICES["worker"]["build"]
    assert not re.search(r"^rasterio==", (ROOT / "requirements/worker.txt").read_text(), re.MULTILINE)


def locks_of_workers() -> dict[str, str]:
    """The kits of each lock, as the Makefile has them."""
    return dict(re.findall(r"^KITS_([\w-]+) := (.+)$", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))


@pytest.mark.parametrize("name", [*(path.stem for path in DOCKERFILES), "worker-geo"])
def test_requirements_are_locked_and_name_no_place(name: str) -> None:
    lines = (ROOT / "requirements" / f"{name}.txt").read_text("utf-8").splitlines()
    wanted = [line for line in lines if line and not line.startswith((" ", "#"))]
    assert wanted
    assert all(re.match(r"[A-Za-z0-9._-]+==\S+ ", line) for line in wanted)
    assert not [line for line in lines if "://" in line or line.startswith("-")]


def select_kits(wanted: str, directory: Path) -> subprocess.CompletedProcess[str]:
    """Run the worker's step that selects kits, in a copy of what it works on."""
    shutil.copytree(ROOT / "kits", directory / "kits", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    [step] = re.findall(r"^RUN (set -eu; .*?[^\\])\n", WORKER, re.MULTILINE | re.DOTALL)
    return subprocess.run(
        ["sh", "-c", step],
        cwd=directory,
        env={"KITS": wanted, "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
        timeout=20,
    )


@pytest.mark.parametrize("wanted", one_in(3, [["mail"], ["files", "mail"], []]))
def test_a_worker_s_image_holds_the_kits_that_it_is_built_with_and_no_other(wanted: list[str], tmp_path: Path) -> None:
    assert select_kits(",".join(wanted), tmp_path).stderr == ""
    command = "pip wheel --quiet --no-deps --no-build-isolation --no-index --wheel-dir wheels ./kits"
    subprocess.run([sys.executable, "-m", *command.split()], cwd=tmp_path, check=True, timeout=60)
    [wheel] = (tmp_path / "wheels").glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        points = [archive.read(name).decode() for name in names if name.endswith("/entry_points.txt")]
    folders = {parts[1] for name in names if (parts := name.split("/"))[0] == "taskyard_kits" and len(parts) > 2}
    assert sorted(folders) == wanted
    assert re.findall(r"^(\w+) = ", "".join(points), re.MULTILINE) == wanted


def test_a_kit_that_is_not_there_ends_the_build_with_a_line_that_names_it(tmp_path: Path) -> None:
    ended = select_kits("mail,postage", tmp_path)
    assert ended.returncode == 1
    present = " ".join(sorted(path.parent.name for path in (ROOT / "kits/taskyard_kits").glob("*/__init__.py")))
    assert ended.stderr == f"KITS: there is no kit 'postage'; there are: {present}\n"


def test_a_worker_s_image_holds_the_kits_of_its_lock_by_default_and_each_kit_is_in_a_lock() -> None:
    kits = {path.parent.name for path in (ROOT / "kits/taskyard_kits").glob("*/__init__.py")}
    project = tomllib.loads((ROOT / "kits/pyproject.toml").read_text("utf-8"))["project"]
    locks = locks_of_workers()
    assert set(default_of("KITS").split(",")) == set(locks["worker"].split())
    assert {kit for lock in locks.values() for kit in lock.split()} == kits
    assert set(project["optional-dependencies"]) == set(project["entry-points"]["taskyard.kits"]) == kits


def test_smoke_says_what_to_do_where_there_is_no_engine() -> None:
    environment = {**os.environ, "DOCKER_HOST": "unix:///nowhere/docker.sock"}
    done = subprocess.run(
        [ROOT / "deploy/smoke.sh"], env=environment, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 3
    assert re.search(r"engine does not answer|there is no docker", done.stderr)
    assert done.stdout == ""

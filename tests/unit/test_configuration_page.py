"""docs/configuration.md tells every setting, as it is."""

from __future__ import annotations

import re

import pytest
import yaml
from pydantic_settings import BaseSettings

from taskyard.settings import Settings
from taskyard_dev.configuration.page import page
from taskyard_dev.configuration.readers import kit_settings, readers
from tests.support.docs import DOCS

_VARIABLE = re.compile(r"^\| `(\w+)`", re.MULTILINE)


@pytest.fixture(scope="module")
def made() -> str:
    return page((DOCS.parent / "docker-compose.yml").read_text("utf-8"))


def test_the_page_is_what_the_settings_classes_say(made: str) -> None:
    assert (DOCS / "configuration.md").read_text("utf-8") == made, "run `make docs`, and commit docs/configuration.md"


def test_every_setting_stands_on_the_page_once(made: str) -> None:
    told = [name for name in _VARIABLE.findall(made) if name.startswith("TASKYARD_")]
    fields = set(Settings.model_fields).union(*(cls.model_fields for cls in kit_settings().values()))
    assert {f"TASKYARD_{field.upper()}" for field in fields} - set(told) == set()
    assert len(told) == len(set(told))


def test_every_variable_that_compose_gives_to_all_services_stands_on_the_page(made: str) -> None:
    given = yaml.safe_load((DOCS.parent / "docker-compose.yml").read_text("utf-8"))["x-environment"]
    assert {name for name in given if f"`{name}`" not in made} == set()


def test_every_setting_says_what_it_does() -> None:
    classes: list[type[BaseSettings]] = [Settings, *kit_settings().values()]
    silent = {name for cls in classes for name, field in cls.model_fields.items() if not field.description}
    assert silent == set()


@pytest.mark.parametrize(
    ("setting", "services", "needed_by"),
    [
        ("api_port", ("api",), ()),
        ("drain_seconds", ("worker",), ()),
        ("listen_url", ("scheduler",), ()),
        ("redis_ca_file", ("api", "worker", "scheduler"), ()),
        ("storage_url", ("api", "worker", "scheduler"), ()),
        ("secret_keys", ("api", "worker", "scheduler"), ("api", "worker")),
        ("database_url", ("api", "worker", "scheduler"), ("api", "worker", "scheduler")),
        ("task_database_url", ("api", "worker"), ()),
        ("api_key", ("console",), ()),
        ("console_secrets", ("console",), ("console",)),
    ],
)
def test_the_readers_of_a_setting_are_found(
    setting: str, services: tuple[str, ...], needed_by: tuple[str, ...]
) -> None:
    found = readers()[setting]
    assert (found.services, found.needed_by) == (services, needed_by)

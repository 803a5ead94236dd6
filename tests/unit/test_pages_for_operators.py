"""What the pages for operators tell people to type and to look at is there."""

from __future__ import annotations

import pytest

from tests.support import named_things
from tests.support.docs import DOCS

PAGES = [
    *("troubleshooting.md", "backup.md", "capacity.md", "monitoring.md", "dashboards.md"),
    *(f"runbooks/{path.name}" for path in sorted((DOCS / "runbooks").glob("*.md"))),
]


@pytest.mark.parametrize("page", PAGES)
def test_what_a_page_names_exists(page: str) -> None:
    text = (DOCS / page).read_text("utf-8")
    assert list(named_things.missing_things("\n".join(named_things.prose(text)))) == []
    commands = named_things.commands_in(text)
    assert list(named_things.missing_things("".join(f"`{command}`" for command in commands))) == []
    assert named_things.missing_metrics(text) == []
    assert named_things.missing_log_events(text) == []


def test_a_command_in_a_block_is_read_up_to_its_pipe() -> None:
    text = "```sh\ndocker compose exec api taskyard-api fly --far | grep x   # says how far\n```\n"
    assert named_things.commands_in(text) == ["taskyard-api fly --far"]
    assert list(named_things.missing_things("`taskyard-api fly --far`")) == ["taskyard-api fly --far"]


def test_a_metric_that_no_service_has_is_found() -> None:
    assert named_things.missing_metrics("`taskyard_wings_total`") == ["wings"]


@pytest.mark.parametrize(
    "command",
    ["docker compose logs api worker | grep -E 'child_died|child_flew' | tail", "`logs worker | grep child_flew`"],
)
def test_what_no_service_logs_is_found(command: str) -> None:
    assert named_things.missing_log_events(f"{command}\n") == ["child_flew"]

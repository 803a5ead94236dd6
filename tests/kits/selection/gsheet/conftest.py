"""A Google whose spreadsheets are in memory, and tasks that are set up for it."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from taskyard_kits.selection.settings import SelectionSettings
from tests.kits.conftest import Run
from tests.support.google_server import Book, Google, google_server, write_key_file


@pytest.fixture
def google() -> Iterator[Google]:
    with google_server() as server:
        yield server


@pytest.fixture
def book(google: Google) -> Book:
    return google.book()


@pytest.fixture
def settings(google: Google, tmp_path: Path) -> SelectionSettings:
    return SelectionSettings(
        selection_google_key_file=write_key_file(tmp_path / "key.json", f"{google.url}/token"),
        selection_google_token_url=f"{google.url}/token",
        selection_google_sheets_url=google.url,
        selection_google_drive_url=google.url,
    )


@pytest.fixture
def call(run: Run, settings: SelectionSettings) -> Run:
    return partial(run, settings=settings)

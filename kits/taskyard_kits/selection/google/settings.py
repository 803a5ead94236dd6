"""The settings of Google Sheets: the service account, and where Google is."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, field_validator

from taskyard.outbound.urls import read_url
from taskyard.settings_groups import KitSettings


class GoogleSettings(KitSettings):
    selection_google_key_file: Path | None = Field(
        default=None, description="The JSON key file of the service account that spreadsheets are shared with."
    )
    selection_google_token_url: str = Field(
        default="https://oauth2.googleapis.com/token", description="Where Google gives tokens for the key."
    )
    selection_google_sheets_url: str = Field(
        default="https://sheets.googleapis.com", description="Where Google's API for spreadsheets is."
    )
    selection_google_drive_url: str = Field(
        default="https://www.googleapis.com", description="Where Google's API for files is."
    )

    @field_validator("selection_google_token_url", "selection_google_sheets_url", "selection_google_drive_url")
    @classmethod
    def _is_encrypted(cls, value: str) -> str:
        """What is sent there opens every spreadsheet that was shared."""
        url = read_url(value)
        if url.scheme != "https" and (url.address is None or not url.address.is_loopback):
            raise ValueError("must begin with https://, except on this machine (http://127.0.0.1)")
        return value.rstrip("/")

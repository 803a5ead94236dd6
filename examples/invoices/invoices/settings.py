"""The kit's own settings, read from `INVOICES_*` once a process."""

from pydantic import AnyHttpUrl
from pydantic_settings import BaseSettings, SettingsConfigDict


class InvoiceSettings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="INVOICES_", frozen=True)

    bank_url: AnyHttpUrl | None = None
    currency: str = "EUR"

"""The kit's own settings, read from `ORDERS_*` once a process."""

from pydantic import SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class OrderSettings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="ORDERS_", frozen=True)

    # The application's database, not the ledger.
    database_url: SecretStr
    pool_size: int = 5

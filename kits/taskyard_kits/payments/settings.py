"""The settings of the payments kit: which account of Stripe is used."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from taskyard.outbound.urls import read_url
from taskyard.settings_groups import KitSettings, names
from taskyard_kits.servers import ServerAddress, ServerKey

# Standard and restricted keys of test mode: https://docs.stripe.com/keys
_OF_TEST_MODE = ("sk_test_", "rk_test_")


class PaymentSettings(KitSettings):
    stripe_secret_key: ServerKey | None = Field(
        default=None,
        repr=False,
        description="The secret or restricted key of the account at Stripe.",
        validation_alias=names("STRIPE_SECRET_KEY", "STRIPE_SECRET_KEY"),
    )
    stripe_base_url: ServerAddress = Field(
        default="https://api.stripe.com",
        description="Where Stripe is.",
        validation_alias=names("STRIPE_BASE_URL", "STRIPE_BASE_URL"),
    )

    @model_validator(mode="after")
    def _live_keys_are_encrypted(self) -> Self:
        key = self.stripe_secret_key
        is_live = key is not None and not key.get_secret_value().startswith(_OF_TEST_MODE)
        if is_live and read_url(self.stripe_base_url).scheme != "https":
            raise ValueError("TASKYARD_STRIPE_BASE_URL must be https where TASKYARD_STRIPE_SECRET_KEY is a live key")
        return self

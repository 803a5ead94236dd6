"""The settings of the payments kit: which account of Stripe is used."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from taskyard.settings_groups import KitSettings, names
from taskyard_kits.servers import ServerAddress, ServerKey


class PaymentSettings(KitSettings):
    stripe_secret_key: ServerKey | None = Field(
        default=None, repr=False, validation_alias=names("STRIPE_SECRET_KEY", "STRIPE_SECRET_KEY")
    )
    stripe_base_url: ServerAddress = Field(
        default="https://api.stripe.com", validation_alias=names("STRIPE_BASE_URL", "STRIPE_BASE_URL")
    )

    @model_validator(mode="after")
    def _live_keys_are_encrypted(self) -> Self:
        """Stripe's keys of test mode have `_test_` in them: sk_test_..., rk_test_..."""
        key = self.stripe_secret_key
        if key is not None and "_test_" not in key.get_secret_value() and self.stripe_base_url.startswith("http:"):
            raise ValueError("TASKYARD_STRIPE_BASE_URL must be https where TASKYARD_STRIPE_SECRET_KEY is a live key")
        return self

"""The models of the answers about webhook endpoints, beside answers.py."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from pydantic import Field

from .answers import Page, Shown


class WebhookEndpoint(Shown):
    id: UUID
    url: str
    description: str
    submitted_by: str = Field(description="The key that registered it.")
    created_at: datetime
    previous_until: datetime | None = Field(description="Until when the secret before the last rotation signs, too.")
    disabled_at: datetime | None = Field(description="Since when nothing is sent there: its receiver answered 410.")


class NewWebhookEndpoint(WebhookEndpoint):
    secret: str = Field(description="`whsec_` and 32 bytes in Base64; shown this once.")


class WebhookEndpointPage(Page[WebhookEndpoint]):
    pass

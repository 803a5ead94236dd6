"""The settings of the webhooks kit: what may be called."""

from __future__ import annotations

from taskyard.settings_groups import OutboundSettings


class WebhookSettings(OutboundSettings):
    pass

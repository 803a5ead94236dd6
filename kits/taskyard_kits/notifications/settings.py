"""The settings of the notifications kit: the mail server, and what may be called."""

from __future__ import annotations

from taskyard_kits.mail.settings import MailSettings
from taskyard_kits.webhooks.settings import WebhookSettings


class NotificationSettings(MailSettings, WebhookSettings):
    pass

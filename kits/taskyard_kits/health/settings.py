"""The settings of the health kit: the addresses of what it checks."""

from __future__ import annotations

from taskyard.settings_groups import RedisSettings
from taskyard_kits.mail.settings import MailSettings
from taskyard_kits.models.settings import ProviderSettings


class HealthSettings(RedisSettings, MailSettings, ProviderSettings):
    """Redis, the mail server and the providers of models; PostgreSQL and the storage come with the task's context."""

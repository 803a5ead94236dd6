"""The settings of the health kit: the addresses of what it checks."""

from __future__ import annotations

from taskyard.settings_groups import RedisSettings
from taskyard_kits.mail.settings import MailSettings


class HealthSettings(RedisSettings, MailSettings):
    """Redis and the mail server; PostgreSQL and the storage come with the task's context."""

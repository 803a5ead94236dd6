"""The settings of the mail kit: `TASKYARD_SMTP_*` and `TASKYARD_MAIL_FROM`."""

from __future__ import annotations

from typing import Self

from pydantic import Field, SecretStr, model_validator

from taskyard.settings_groups import DAY_SECONDS, KitSettings


class MailSettings(KitSettings):
    smtp_host: str | None = Field(default=None, description="The mail server.")
    smtp_port: int = Field(default=587, ge=1, le=65535, description="Its port.")
    smtp_user: str | None = Field(default=None, description="The account, where the server wants a login.")
    smtp_password: SecretStr | None = Field(default=None, repr=False, description="Its password.")
    smtp_security: str = Field(
        default="starttls",
        pattern="^(none|starttls|tls)$",
        description="`none`, `starttls` or `tls`. A login needs one of the latter two.",
    )
    # For the connection and for each answer. Thirteen of them (one for an idle connection that is gone) and the wait
    # after the data fit into the soft limit.
    smtp_timeout_seconds: float = Field(
        default=20.0, gt=0, le=DAY_SECONDS, description="How long the server may take to connect, and for each answer."
    )
    # RFC 5321, 4.5.3.2.6: who gives up earlier has the server deliver the message more than once.
    smtp_after_data_timeout_seconds: float = Field(
        default=600.0,
        gt=0,
        le=DAY_SECONDS,
        description="How long the server may take to answer the end of the data. Shorter, and a slow one delivers a"
        " mail twice.",
    )
    # A connection is kept for so long for the next message. Servers close idle ones after minutes; 0: none is kept.
    smtp_idle_seconds: float = Field(
        default=30.0,
        ge=0,
        le=DAY_SECONDS,
        description="How long a connection is kept for the next mail; 0: each mail has its own.",
    )
    mail_from: str = Field(default="Taskyard <taskyard@localhost>", description="The sender of mails.")

    @model_validator(mode="after")
    def _login_is_encrypted(self) -> Self:
        if self.smtp_user is not None and self.smtp_security == "none":
            raise ValueError("TASKYARD_SMTP_SECURITY must be starttls or tls where TASKYARD_SMTP_USER is set")
        return self

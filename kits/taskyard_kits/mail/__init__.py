"""The mail kit: messages over SMTP."""

from taskyard import Kit

KIT = Kit(
    "mail",
    modules=("taskyard_kits.mail.tasks",),
    queues=("high_priority", "default", "low_priority"),
    libraries=("jinja2", "turbohtml"),
    settings="taskyard_kits.mail.settings:MailSettings",
)

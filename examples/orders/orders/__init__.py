"""The manifest of the kit."""

from taskyard import Kit

KIT = Kit(
    "orders",
    modules=("orders.tasks",),
    queues=("orders",),
    settings="orders.settings:OrderSettings",
    hooks=("orders.hooks:Engines",),
)

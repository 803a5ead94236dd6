"""The users kit: profiles and statistics of the users that `PUT /users/{id}` writes."""

from taskyard import Kit

KIT = Kit(
    "users",
    modules=("taskyard_kits.users.tasks",),
    queues=("high_priority", "default", "low_priority"),
)

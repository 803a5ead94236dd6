from functools import cache

from django.conf import settings

from taskyard_client import Client


@cache
def tasks() -> Client:
    """One client for all threads; a worker process that is forked later opens connections of its own."""
    return Client(**settings.TASKYARD)

"""The role under which tasks use PostgreSQL, in tests."""

import sqlalchemy as sa

from taskyard.store import task_role_grants

ROLE = "taskyard_task"


def as_tasks(database_url: str) -> str:
    """The same database, as tasks use it."""
    return sa.make_url(database_url).set(username=ROLE, password="of-tasks").render_as_string(hide_password=False)


def prepare(database_url: str) -> str:
    """Makes the role, which all databases of the server share, and grants what it needs; returns its address."""
    url = as_tasks(database_url)
    task_role_grants.prepare(database_url, url)
    return url

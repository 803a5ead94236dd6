"""A task type of the tests' own with a secret parameter."""

import hashlib

from taskyard import Secret, task


@task("tests.digest_of_secret")
def digest_of_secret(token: Secret[str]) -> str:
    """Tells that the secret could be opened, without telling it."""
    return hashlib.sha256(token.reveal().encode()).hexdigest()

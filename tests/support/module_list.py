"""A task type of the tests' own that says what its process has imported."""

import sys

from taskyard import task


@task("tests.modules")
def modules() -> list[str]:
    """Lists the modules of its process."""
    return sorted(sys.modules)

"""An application that is killed around COMMIT: no task is lost, and none is there that nobody wanted. (`make kills`)"""

import pytest

from tests.kills.proof import prove


@pytest.mark.timeout(300)
def test_an_application_that_is_killed_around_commit_loses_no_task_and_leaves_no_phantom(
    database_url: str, redis_url: str
) -> None:
    found = prove(database_url, redis_url, kills=60, seed=7)
    assert found.says_something, found
    assert found.holds, found


@pytest.mark.timeout(300)
@pytest.mark.long
def test_the_proof_finds_tasks_that_are_submitted_apart(database_url: str, redis_url: str) -> None:
    found = prove(database_url, redis_url, kills=40, seed=7, apart=True)
    assert found.lost + found.phantom > 0, found

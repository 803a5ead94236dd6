"""What a request that is wrong is told names what is wrong, and says what it must be."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from taskyard.admission.bodies import SubmitTask
from taskyard.admission.field_faults import faults_of

RIGHT: dict[str, Any] = {"name": "diagnostics.echo"}


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"nam": 1}, "There is no field `nam`."),
        ({"delay_seconds": "5"}, "`delay_seconds` must be a valid number"),
        ({"delay_seconds": 10**9}, "`delay_seconds` must be less than or equal to 315619200"),
        ({"tags": "x"}, "`tags` must be a valid list"),
        ({"tags": ["a", 5]}, "An entry of `tags` must be a valid string"),
        ({"queue": ""}, "`queue` must have at least 1 character"),
        ({"run_at": "2026-11-01"}, "`run_at` must be a time as in RFC 3339, with its offset: 2026-01-31T12:00:00Z"),
        ({"unique": {"key": "k"}}, "`while` is required."),
        ({"on_cancel": "x"}, "`on_cancel` must be 'cancel_children' or 'leave_children'"),
        ({"params": []}, "Must be a JSON object."),
    ],
)
def test_a_fault_names_its_field(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError) as caught:
        SubmitTask.model_validate(RIGHT | wrong)
    assert [fault.message for fault in faults_of(caught.value)] == [said]

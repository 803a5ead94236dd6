"""A task reads the items that the key which submitted it may read."""

from __future__ import annotations

import io
from typing import Any

import pytest
from PIL import Image

from taskyard.domain.tasks import Failed
from tests.kits.conftest import Run, Upload


def png() -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (4, 4)).save(out, "PNG")
    return out.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "more"),
    [
        ("files.process_large_file", b"a\nb\n", {}),
        ("files.generate_thumbnail", png(), {"width": 2, "height": 2}),
    ],
)
def test_a_task_reads_what_its_key_may_read(
    run: Run, upload: Upload, name: str, content: bytes, more: dict[str, Any]
) -> None:
    mine, others, nobodys = (upload(content, submitted_by=owner) for owner in ("mine", "other", None))
    for item in (others, nobodys):
        outcome = run(name, {"item_id": item.id, **more}, submitted_by="mine", allowed_queues=["default"]).outcome
        assert isinstance(outcome, Failed)
        assert (outcome.fault.code, outcome.fault.retryable) == ("item_not_found", False)
        assert run(name, {"item_id": item.id, **more}, submitted_by="free").result, (
            "a key without restriction reads all"
        )
    assert run(name, {"item_id": mine.id, **more}, submitted_by="mine", allowed_queues=["default"]).result

"""Values of strangers' JSON: bounded as they are written, and compared exactly."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from taskyard.store.records import Written
from taskyard_kits.record_chunks import Chunk
from taskyard_kits.record_values import MAX_DEPTH, MAX_RECORD_BYTES, Unstorable, checked, read_json


def nested(levels: int) -> Any:
    return read_json("[" * levels + "]" * levels)


def test_a_value_is_as_deep_as_a_chunk_can_write_it() -> None:
    assert orjson.dumps({"key": checked(nested(MAX_DEPTH))})
    assert checked(["["] * 1_000)
    for levels in (MAX_DEPTH + 1, 254, 255, 400):
        with pytest.raises(Unstorable, match="depth"):
            checked(nested(levels))
    with pytest.raises(Unstorable, match="text"):
        checked(["\ud800"])


def test_the_zeros_that_postgresql_writes_out_count() -> None:
    assert checked([1e300] * 400)
    assert checked("1e300" * 20_000)
    for number in (1e300, -1e-300):
        with pytest.raises(Unstorable, match="too_large"):
            checked({"x": [number] * (MAX_RECORD_BYTES // 300)})


@pytest.mark.parametrize("other", [True, 1.0, [1], "1"])
def test_what_only_python_holds_for_equal_is_an_update(other: Any) -> None:
    chunk = Chunk()
    for value in (1, 1, other, 1):
        chunk.add("a", {"x": value, "y": 0})
    assert chunk.counted(Written(1, 0, 0)) == (1, 2, 1)


def test_the_order_of_fields_is_no_change() -> None:
    chunk = Chunk()
    chunk.add("a", {"x": 1, "y": 0})
    chunk.add("a", {"y": 0, "x": 1})
    assert chunk.counted(Written(1, 0, 0)) == (1, 0, 1)

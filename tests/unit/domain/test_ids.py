"""Task ids sort by the time they were made."""

from __future__ import annotations

import itertools
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from uuid import RFC_4122, UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskyard.domain.ids import earliest_id_at, made_at, new_id, read_id

MOMENTS = st.datetimes(datetime(1970, 1, 1), datetime(9999, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001


def milliseconds(moment: datetime) -> int:
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)


def test_an_id_is_a_version_7_of_rfc_9562() -> None:
    made = new_id()
    assert isinstance(made, UUID)
    assert (made.version, made.variant) == (7, RFC_4122)


def test_ids_of_a_process_grow_even_within_a_millisecond() -> None:
    ids = [new_id() for _ in range(20_000)]
    assert all(a < b for a, b in itertools.pairwise(ids))


def test_threads_never_make_the_same_id() -> None:
    with ThreadPoolExecutor(8) as pool:
        batches = list(pool.map(lambda _: [new_id() for _ in range(2_000)], range(8)))
    assert len({i for batch in batches for i in batch}) == 16_000
    assert all(batch == sorted(batch) for batch in batches)


def test_an_id_carries_the_time_it_was_made() -> None:
    before = datetime.now(UTC)
    made = new_id()
    after = datetime.now(UTC) + timedelta(milliseconds=1)
    assert earliest_id_at(before) <= made < earliest_id_at(after)


@given(MOMENTS)
def test_the_earliest_id_of_a_moment_carries_that_millisecond_and_nothing_else(moment: datetime) -> None:
    bound = earliest_id_at(moment)
    assert bound.int >> 80 == milliseconds(moment)
    assert bound.int & ((1 << 80) - 1) == 0


@given(MOMENTS, MOMENTS)
def test_bounds_keep_the_order_of_their_moments(one: datetime, other: datetime) -> None:
    assert (earliest_id_at(one) < earliest_id_at(other)) == (milliseconds(one) < milliseconds(other))


def test_times_before_the_epoch_give_the_lowest_bound() -> None:
    assert earliest_id_at(datetime(1960, 1, 1, tzinfo=UTC)) == UUID(int=0)


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(TypeError):
        earliest_id_at(datetime(2026, 1, 1))  # noqa: DTZ001


def test_an_id_tells_when_it_was_made() -> None:
    before = datetime.now(UTC) - timedelta(milliseconds=1)
    made = made_at(new_id())
    assert made is not None
    assert before <= made <= datetime.now(UTC)


@pytest.mark.parametrize("other", [uuid4(), UUID(int=new_id().int | ((1 << 48) - 1) << 80)], ids=["v4", "year 10895"])
def test_an_id_without_a_time_of_the_calendar_tells_none(other: UUID) -> None:
    assert made_at(other) is None


@given(st.uuids())
def test_an_id_is_read_as_python_reads_it(written: UUID) -> None:
    assert read_id(str(written)) == read_id(written.hex) == read_id(str(written).upper()) == written


_ID = "01890a5d-ac96-774b-bcce-b302099a8057"
_SPECIAL = {
    "hexadecimal prefix": "0x" + "1" * 30,
    "sign": "+" + "1" * 31,
    "underscore": "1_" + "1" * 30,
    "other digits": "\u0661" * 32,
    "spaces": "11 " * 10 + "11",
    "space at an end": " " + "1" * 30 + " ",
    "braces": f"{{{_ID}}}",
    "urn": f"urn:uuid:{_ID}",
    "dash elsewhere": "0-1890a5dac96-774b-bcce-b302099a8057",
    "dash at the end": f"{_ID}-",
    "three dashes": "01890a5dac96-774b-bcce-b302099a8057",
}


@pytest.mark.parametrize(
    "text", ["", "no-id", "x" * 32, "0" * 33, *(pytest.param(t, id=n) for n, t in _SPECIAL.items())]
)
def test_what_is_no_id_is_not_read(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_id(text)

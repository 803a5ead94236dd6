"""What every storage does. The tests of one backend alone stand beside it."""

import hashlib
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import get_context

import pytest

from taskyard.storage.interface import ObjectMissing, Storage, Stored
from tests.integration.storage.conftest import Kept

MIB = 1024 * 1024


def put(storage: Storage, content: bytes) -> Stored:
    with storage.writer() as writer:
        writer.write(content)
        return writer.commit()


@pytest.mark.parametrize("size", [0, 1, 700_000, 8 * MIB, 8 * MIB + 1, 17 * MIB])
def test_what_was_committed_is_read_back_with_its_size_and_digest(storage: Storage, size: int) -> None:
    content = os.urandom(size)
    with storage.writer() as writer:
        for start in range(0, len(content), 1_000_007):
            assert writer.write(content[start : start + 1_000_007]) == len(content[start : start + 1_000_007])
        stored = writer.commit()
    assert (stored.size, stored.sha256) == (size, hashlib.sha256(content).hexdigest())
    assert storage.size(stored.key) == size
    with storage.open(stored.key) as file:
        assert file.read() == content


def test_any_part_can_be_read_in_any_order(storage: Storage) -> None:
    content = os.urandom(3 * MIB)
    key = put(storage, content).key
    for offset in (0, 1, 2 * MIB, len(content) - 1, len(content), len(content) + 5):
        with storage.open(key, offset=offset) as file:
            assert file.tell() == offset
            assert file.read(1000) == content[offset : offset + 1000]
    with storage.open(key, offset=10) as file:
        for offset in (2 * MIB, 5, 5, 2 * MIB + 300_000, 0):
            file.seek(offset)
            assert file.read(70_000) == content[offset : offset + 70_000]
        assert file.seek(0, os.SEEK_END) == len(content)
        assert file.read() == b""
        file.seek(-7, os.SEEK_END)
        assert file.read() == content[-7:]


@pytest.mark.parametrize("size", [10, 20 * MIB])
def test_nobody_sees_an_object_before_it_is_committed(storage: Storage, kept: Kept, size: int) -> None:
    with storage.writer() as writer:
        writer.write(b"x" * size)
        assert kept.objects() == 0
        key = writer.commit().key
    assert storage.size(key) == size
    assert (kept.objects(), kept.partial()) == (1, 0)


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
@pytest.mark.parametrize("size", [10, 20 * MIB])
def test_a_writer_that_is_not_committed_leaves_nothing(
    storage: Storage, kept: Kept, size: int, error: type[BaseException]
) -> None:
    def write() -> None:
        with storage.writer() as writer:
            writer.write(b"x" * size)
            raise error

    with pytest.raises(error):
        write()
    assert (kept.objects(), kept.partial()) == (0, 0)


def test_deleting_is_harmless_when_repeated(storage: Storage, kept: Kept) -> None:
    stored = put(storage, b"x")
    storage.delete(stored.key)
    storage.delete(stored.key)
    assert kept.objects() == 0
    for use in (storage.open, storage.size):
        with pytest.raises(ObjectMissing):
            use(stored.key)


@pytest.mark.parametrize(
    "key",
    ["", ".", "..", "../../etc/passwd", "/etc/passwd", "a" * 31, "a" * 33, "A" * 32, "a" * 31 + "/",
     "a" * 31 + "\x00", "a" * 31 + "\n", "../" * 10 + "ab", "aa/" + "a" * 29,
     "\N{ARABIC-INDIC DIGIT ONE}" * 32],
)  # fmt: skip
def test_a_key_that_is_none_of_ours_leads_nowhere(storage: Storage, key: str) -> None:
    for use in (storage.open, storage.size):
        with pytest.raises(ObjectMissing):
            use(key)
    storage.delete(key)


def test_many_writers_at_once_do_not_disturb_each_other(storage: Storage, kept: Kept) -> None:
    contents = [f"{n}".encode() * 50_000 for n in range(24)]
    with ThreadPoolExecutor(8) as threads:
        made = list(threads.map(lambda content: put(storage, content), contents))
    assert len({stored.key for stored in made}) == kept.objects() == 24
    for content, stored in zip(contents, made, strict=True):
        with storage.open(stored.key) as file:
            assert file.read() == content


def test_check_finds_a_storage_that_works_and_leaves_nothing(storage: Storage, kept: Kept) -> None:
    storage.check()
    assert (kept.objects(), kept.partial()) == (0, 0)


def test_it_works_in_a_fork_too(storage: Storage, kept: Kept) -> None:
    others = set(threading.enumerate())  # of earlier tests
    stored = put(storage, b"before")

    def in_the_fork() -> None:
        with storage.open(stored.key) as file:
            assert file.read() == b"before"
        put(storage, b"after")

    forked = get_context("fork").Process(target=in_the_fork)
    assert set(threading.enumerate()) <= others
    forked.start()
    forked.join(60)
    assert forked.exitcode == 0
    assert kept.objects() == 2
    with storage.open(stored.key) as file:
        assert file.read() == b"before"


def test_no_descriptor_is_left_open(storage: Storage) -> None:
    def use() -> None:
        stored = put(storage, b"x" * 2_000_000)
        storage.size(stored.key)
        storage.open(stored.key).close()
        with storage.open(stored.key) as file:
            file.read(10)
        storage.delete(stored.key)
        with pytest.raises(ObjectMissing):
            storage.open(stored.key)

    def descriptors() -> int:
        return len(os.listdir("/dev/fd"))  # noqa: PTH208

    for _ in range(3):
        use()
    before = descriptors()
    for _ in range(20):
        use()
    assert descriptors() <= before

"""LocalStorage, where it is not as every storage is (integration/storage/test_conformance.py)."""

import errno
import os
import signal
import subprocess
import sys
import textwrap
import time
from datetime import timedelta
from pathlib import Path

import pytest

from taskyard.storage.interface import ObjectMissing, Storage, StorageUnavailable, Stored
from taskyard.storage.local import LocalStorage


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def storage(root: Path) -> LocalStorage:
    return LocalStorage(root)


def put(storage: Storage, content: bytes) -> Stored:
    with storage.writer() as writer:
        writer.write(content)
        return writer.commit()


def files(root: Path) -> list[Path]:
    return [path for path in root.rglob("*") if not path.is_dir()]


def test_nobody_can_read_an_object_before_it_is_committed(storage: LocalStorage, root: Path) -> None:
    with storage.writer() as writer:
        writer.write(b"x" * 1_000_000)
        (partial,) = files(root)
        with pytest.raises(ObjectMissing):
            storage.open(partial.name)
        key = writer.commit().key
    assert storage.size(key) == 1_000_000


def test_an_open_object_outlives_its_deletion(storage: LocalStorage) -> None:
    stored = put(storage, b"still here")
    with storage.open(stored.key) as file:
        storage.delete(stored.key)
        assert file.read() == b"still here"


def test_links_are_not_followed(storage: LocalStorage, root: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"not yours")
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / ("bb" + "0" * 30)).write_bytes(b"not yours either")
    put(storage, b"x")
    (root / "objects" / "aa").mkdir(exist_ok=True)
    (root / "objects" / "aa" / ("aa" + "0" * 30)).symlink_to(secret)
    if (root / "objects" / "bb").exists():
        (root / "objects" / "bb").rename(tmp_path / "elsewhere")
    (root / "objects" / "bb").symlink_to(outside)
    for key in ("aa" + "0" * 30, "bb" + "0" * 30):
        with pytest.raises((StorageUnavailable, ObjectMissing)):
            storage.open(key)
    with pytest.raises(StorageUnavailable):
        storage.delete("bb" + "0" * 30)
    storage.delete("aa" + "0" * 30)
    assert secret.read_bytes() == b"not yours"
    assert (outside / ("bb" + "0" * 30)).exists()


def test_a_pipe_in_an_objects_place_holds_nobody_up(storage: LocalStorage, root: Path) -> None:
    (root / "objects" / "aa").mkdir(parents=True)
    os.mkfifo(root / "objects" / "aa" / ("aa" + "0" * 30))
    with pytest.raises(ObjectMissing):
        storage.open("aa" + "0" * 30)


WRITER = """
    import sys, time
    from pathlib import Path
    from taskyard.storage.local import LocalStorage
    with LocalStorage(Path(sys.argv[1])).writer() as writer:
        writer.write(b"x" * 3_000_000)
        print("written", flush=True)
        time.sleep(60)
"""


def test_a_writer_that_was_killed_leaves_no_object_and_is_swept_by_age(root: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(WRITER), str(root)], stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "written\n"
        writer.send_signal(signal.SIGKILL)
    assert not (root / "objects").exists()
    (left,) = files(root)
    assert LocalStorage(root).sweep() == 0  # as young as this it may be another process at work
    tomorrow = time.time() + timedelta(days=1, seconds=1).total_seconds()
    later = LocalStorage(root, now=lambda: tomorrow)
    put(later, b"the next writer cleans up")
    assert not left.exists()
    assert len(files(root)) == 1


def test_what_cannot_be_swept_keeps_nobody_from_writing(root: Path) -> None:
    (root / "partial" / "a directory").mkdir(parents=True)
    os.utime(root / "partial" / "a directory", (0, 0))
    storage = LocalStorage(root)
    assert put(storage, b"x").size == 1
    with pytest.raises(StorageUnavailable):
        storage.sweep()


def test_an_object_whose_name_did_not_reach_the_disk_is_none(
    storage: LocalStorage, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(storage, b"x")
    sync = os.fsync

    def fail_behind_the_rename(fd: int) -> None:
        if os.fstat(fd).st_ino in {shard.stat().st_ino for shard in (root / "objects").iterdir()}:
            raise OSError(errno.EIO, "broken disk")
        sync(fd)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail_behind_the_rename)
        with pytest.raises(StorageUnavailable):
            put(storage, b"y")
    assert len(files(root)) == 1


def test_a_file_in_the_roots_place_is_named(tmp_path: Path) -> None:
    (tmp_path / "store").write_text("a file")
    with pytest.raises(StorageUnavailable, match="not a directory"):
        LocalStorage(tmp_path / "store").check()


TOO_LARGE = """
    import resource, sys
    import structlog
    from pathlib import Path
    from taskyard.storage.interface import StorageUnavailable
    from taskyard.storage.local import LocalStorage
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
    storage = LocalStorage(Path(sys.argv[1]))
    storage.check()
    try:
        with storage.writer() as writer:
            for _ in range(20):
                writer.write(b"x" * 100_000)
            writer.commit()
    except StorageUnavailable as e:
        print(e)
"""


def test_a_file_that_the_system_cuts_off_is_no_object(root: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(TOO_LARGE), str(root)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "the file is larger than the storage takes\n"
    assert files(root) == []


FULL = """
    import subprocess, sys
    import structlog
    from pathlib import Path
    from taskyard.storage.interface import StorageUnavailable
    from taskyard.storage.local import LocalStorage
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    root = Path(sys.argv[1])
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", root], check=True)
    storage = LocalStorage(root)
    with storage.writer() as writer:
        writer.write(b"kept")
        kept = writer.commit()
    def attempt(what):
        try:
            what()
        except StorageUnavailable as e:
            print(what.__name__, e)
    def large():
        with storage.writer() as writer:
            for _ in range(20):
                writer.write(b"x" * 100_000)
            writer.commit()
    def buffered():
        "Fits into the buffer: only the flush in commit fails."
        with storage.writer() as writer:
            writer.write(b"x" * 200_000)
            writer.commit()
    attempt(large)
    (root / "ballast").write_bytes(b"x" * 900_000)
    attempt(buffered)
    (root / "ballast").unlink()
    assert [p for p in (root / "partial").iterdir()] == []
    attempt(storage.check)
    subprocess.run(["mount", "-o", "remount,ro", root], check=True)
    attempt(storage.check)
    print(storage.open(kept.key).read().decode())
"""


def test_a_full_and_a_read_only_disk_are_named_and_keep_what_they_have(tmp_path: Path) -> None:
    # A mount namespace of its own: nobody else sees the small disk, and it is gone with the process.
    unshare = ["unshare", "--mount", "--map-root-user"]
    if subprocess.run([*unshare, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no mount namespaces here")
    done = subprocess.run(
        [*unshare, sys.executable, "-c", textwrap.dedent(FULL), str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.splitlines() == [
        "large the storage is full",
        "buffered the storage is full",
        "check the storage is read-only",
        "kept",
    ], done.stderr

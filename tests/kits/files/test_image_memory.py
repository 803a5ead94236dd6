"""Decoding an image takes no more memory than was reckoned before it began, and all decoders of a process no more than
it has for them."""

import resource
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from PIL import Image

from taskyard.domain.errors import TaskError
from taskyard_kits.files.memory import UNLIMITED_BYTES, WORKER_BYTES, Memory, memory_of
from taskyard_kits.files.needs import HEADER_BYTES, OWN_BYTES
from taskyard_kits.files.thumbnails import render
from tests.support.cases import one_in
from tests.support.decoded import decoded, resident_decoders
from tests.support.heavy_images import MIB, REFUSED, SIDE, heavy_images, png, saved

HEADER = OWN_BYTES + HEADER_BYTES
IMAGE = png(SIDE, SIDE, 16, 4)


def written(directory: Path, content: bytes) -> Path:
    file = directory / "image"
    file.write_bytes(content)
    return file


def needs(content: bytes, directory: Path) -> int:
    said, _ = decoded(content, directory)
    return int(said[0]["needs"])


@pytest.mark.parametrize(("name", "make"), one_in(5, [pytest.param(*image, id=image[0]) for image in heavy_images()]))
def test_decoding_takes_no_more_memory_than_was_reckoned_before_it(
    name: str, make: Callable[[], bytes], tmp_path: Path
) -> None:
    said, peak = decoded(make(), tmp_path)
    assert peak <= next((answer["needs"] for answer in said if "needs" in answer), HEADER)
    assert peak <= UNLIMITED_BYTES
    assert said[-1].get("error") == REFUSED.get(name)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.long
def test_neither_does_a_thumbnail_that_is_as_large_as_its_image(kind: str, tmp_path: Path) -> None:
    image = Image.effect_noise((2048, 2048), 90).convert("RGB" if kind == "JPEG" else "RGBA")
    if kind != "JPEG":
        image.putalpha(Image.effect_noise(image.size, 90))
    said, peak = decoded(saved(image, kind, **({"method": 0} if kind == "WEBP" else {})), tmp_path, 4096, 4096)
    assert said[-1]["width"] == 2048
    assert peak <= said[0]["needs"]


def test_all_threads_together_take_no_more_memory_than_there_is_for_images(tmp_path: Path) -> None:
    file, needed = written(tmp_path, IMAGE), needs(IMAGE, tmp_path)
    memory = Memory(needed + HEADER)  # two of them at once would be more
    seen, over = [0], threading.Event()

    def make() -> int:
        with file.open("rb") as image:
            return render(image, 256, 256, memory).width

    def watch() -> None:
        while not over.wait(0.005):
            seen.append(resident_decoders())

    with ThreadPoolExecutor() as pool:
        watching = pool.submit(watch)
        try:
            made = [pool.submit(make) for _ in range(4)]
            assert [m.result() for m in made] == [256] * 4
        finally:
            over.set()
        watching.result()
    assert needed // 2 < max(seen) <= needed + HEADER


def test_an_image_that_does_not_fit_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    file, needed = written(tmp_path, IMAGE), needs(IMAGE, tmp_path)
    for total in (0, HEADER, needed - 1):
        with file.open("rb") as image, pytest.raises(TaskError) as refused:
            render(image, 256, 256, Memory(total))
        assert (refused.value.code, refused.value.retryable) == ("image_needs_memory", False)
        assert refused.value.values == {"limit": total // MIB}
    with file.open("rb") as image:
        assert render(image, 256, 256, Memory(needed)).width == 256


class Ended(Exception):
    pass


def end() -> None:
    raise Ended


def test_an_image_is_decoded_no_further_when_its_task_ends(tmp_path: Path) -> None:
    memory = Memory(UNLIMITED_BYTES)
    with written(tmp_path, png(8_000, 8_000, 16, 6)).open("rb") as image, pytest.raises(Ended):
        render(image, 256, 256, memory, end)
    assert resident_decoders() == 0
    assert memory.take(UNLIMITED_BYTES, end) == UNLIMITED_BYTES, "all of it was given back"


def test_who_waits_for_memory_stops_waiting_when_its_task_ends(tmp_path: Path) -> None:
    memory = Memory(HEADER)
    others = memory.take(HEADER, lambda: None)
    with written(tmp_path, saved(Image.new("L", (9, 9)), "PNG")).open("rb") as image:
        with pytest.raises(Ended):
            render(image, 256, 256, memory, end)
        memory.give_back(others)
        assert render(image, 256, 256, memory).width == 9
    assert memory.take(HEADER, end) == HEADER, "all of it was given back"


def test_threads_that_ask_at_once_share_one_memory() -> None:
    at_once = threading.Barrier(8)

    def ask(number: int) -> Memory:
        at_once.wait()
        return memory_of(WORKER_BYTES + 777 * MIB)

    with ThreadPoolExecutor(8) as pool:
        assert len({id(memory) for memory in pool.map(ask, range(8))}) == 1


def test_the_time_for_an_image_is_bounded(tmp_path: Path) -> None:
    command = [sys.executable, "-I", "-m", "taskyard_kits.files.decoder"]
    with (
        written(tmp_path, IMAGE).open("rb") as image,
        subprocess.Popen(
            [*command, str(image.fileno()), "9", "9"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, pass_fds=[image.fileno()],
        ) as decoder,
    ):  # fmt: skip
        assert decoder.stdout is not None
        decoder.stdout.readline()
        seconds, _ = resource.prlimit(decoder.pid, resource.RLIMIT_CPU)
        # The kernel ends it as soon as the limit is below what it has used: no sound image takes so long.
        assert 0 < seconds <= 60
        decoder.kill()

"""files.generate_thumbnail: upright, small, without metadata; hostile files are refused by name."""

import io
import struct
import tempfile
import zlib
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from PIL import Image, ImageCms, ImageOps
from PIL.PngImagePlugin import PngInfo
from sqlalchemy import Engine

from taskyard.domain.ids import new_id
from taskyard.domain.tasks import Failed
from taskyard.storage.local import LocalStorage
from taskyard.store import ledger, tree_items
from taskyard.store.tree_items import TreeItem
from taskyard_kits.files import thumbnails
from taskyard_kits.files.needs import HEADER_BYTES, OWN_BYTES
from tests.kits.conftest import Run, Upload
from tests.support.cases import one_in
from tests.support.decoded import decoded

NAME = "files.generate_thumbnail"
ORIENTATION = 0x0112
RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)
# What undoes the turn that an orientation asks for.
UNDO = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


def picture(width: int = 600, height: int = 400) -> Image.Image:
    """Red upper left, green upper right, blue lower left, white lower right."""
    image = Image.new("RGB", (width, height), WHITE)
    image.paste(RED, (0, 0, width // 2, height // 2))
    image.paste(GREEN, (width // 2, 0, width, height // 2))
    image.paste(BLUE, (0, height // 2, width // 2, height))
    return image


def corners(image: Image.Image) -> list[tuple[int, int, int]]:
    image = image.convert("RGB")
    w, h = image.size
    places = [(w // 4, h // 4), (3 * w // 4, h // 4), (w // 4, 3 * h // 4), (3 * w // 4, 3 * h // 4)]
    found: list[Any] = [image.getpixel(p) for p in places]
    return found


def alike(found: list[tuple[int, int, int]], wanted: list[tuple[int, int, int]], by: int = 12) -> bool:
    return all(abs(a - b) <= by for f, w in zip(found, wanted, strict=True) for a, b in zip(f, w, strict=True))


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


class WithoutDescriptors(LocalStorage):
    """Its files are as those of a bucket."""

    def open(self, key: str, *, offset: int = 0) -> BinaryIO:
        with super().open(key, offset=offset) as file:
            return io.BytesIO(file.read())


def test_a_file_that_has_no_descriptor_is_copied_and_the_copy_goes(
    run: Run, upload: Upload, storage: LocalStorage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "scratch"))
    (tmp_path / "scratch").mkdir()
    content = saved(picture(), "PNG")
    for kept in (storage, WithoutDescriptors(tmp_path / "storage")):
        result = run(NAME, {"item_id": upload(content).id, "width": 60, "height": 60}, storage=kept).result
        assert (result["width"], result["height"]) == (60, 40)
    assert list((tmp_path / "scratch").iterdir()) == []


@pytest.fixture
def made(run: Run, upload: Upload, engine: Engine, storage: LocalStorage) -> Any:
    def make(content: bytes, name: str = "picture", **size: int) -> tuple[Image.Image, TreeItem, dict[str, Any]]:
        source = upload(content, name)
        result = run(NAME, {"item_id": source.id, **size}, submitted_by="ci").result
        with ledger.connection(engine) as conn:
            (item,) = tree_items.page(conn, limit=10, parent_id=source.id)
        assert str(item.id) == result["item_id"]
        with storage.open(item.storage_key) as file:
            image = Image.open(io.BytesIO(file.read()))
        assert image.size == (result["width"], result["height"])
        return image, item, result

    return make


def refusal(run: Run, item: TreeItem) -> str:
    outcome = run(NAME, {"item_id": item.id}).outcome
    assert isinstance(outcome, Failed), outcome
    assert not outcome.fault.retryable
    return outcome.fault.code


def test_the_thumbnail_is_an_item_of_its_own(made: Any) -> None:
    image, item, result = made(saved(picture(), "JPEG", quality=95), "holiday.jpg", width=150, height=150)
    assert result == {
        "item_id": str(item.id),
        "parent_id": str(item.parent_id),
        "name": "holiday_150x100.jpg",
        "content_type": "image/jpeg",
        "width": 150,
        "height": 100,
        "size": item.size,
    }
    assert (item.object_type, item.submitted_by) == ("thumbnail", "ci")
    assert item.task_id is not None
    assert alike(corners(image), [RED, GREEN, BLUE, WHITE])


@pytest.mark.parametrize("kind", one_in(4, ["JPEG", "PNG", "WEBP", "TIFF"]))
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_comes_out_upright(made: Any, kind: str, orientation: int) -> None:
    stored = picture()
    if orientation in UNDO:
        stored = stored.transpose(UNDO[orientation])
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    content = saved(stored, kind, exif=exif, **({"quality": 95} if kind in {"JPEG", "WEBP"} else {}))
    assert alike(corners(ImageOps.exif_transpose(Image.open(io.BytesIO(content)))), [RED, GREEN, BLUE, WHITE], 20)
    image, _, _ = made(content, width=150, height=90)
    assert image.size == (135, 90)
    assert alike(corners(image), [RED, GREEN, BLUE, WHITE], 20)
    assert ORIENTATION not in image.getexif()


@pytest.mark.parametrize(("given", "wanted"), [("JPEG", "JPEG"), ("PNG", "PNG"), ("WEBP", "WEBP"),
                                               ("GIF", "PNG"), ("TIFF", "PNG"), ("BMP", "PNG")])  # fmt: skip
def test_all_formats_of_the_list_are_read(made: Any, given: str, wanted: str) -> None:
    image, item, _ = made(saved(picture(), given), f"x.{given.lower()}", width=60, height=60)
    assert image.format == wanted
    assert image.size == (60, 40)
    assert item.content_type == Image.MIME[wanted]
    assert alike(corners(image), [RED, GREEN, BLUE, WHITE], 20)


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "GIF"])
def test_transparency_is_kept(made: Any, kind: str) -> None:
    clear = picture().convert("RGBA")
    clear.paste((0, 0, 0, 0), (300, 200, 600, 400))
    image, _, _ = made(saved(clear, kind), width=60, height=60)
    found = image.convert("RGBA")
    assert found.getpixel((50, 35))[3] == 0
    assert found.getpixel((5, 5))[3] == 255


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "I", "F"])
def test_every_colour_mode_is_read(made: Any, mode: str) -> None:
    grey = Image.linear_gradient("L").resize((300, 200))
    if mode == "I;16":
        source = Image.new("I;16", grey.size)
        source.putdata([value * 257 for value in grey.tobytes()])
    else:
        source = grey.convert("RGB").convert(mode) if mode in {"CMYK", "P"} else grey.convert(mode)
    kind = {"CMYK": "JPEG"}.get(mode, "TIFF" if mode in {"I", "F"} else "PNG")
    image, _, _ = made(saved(source, kind), width=60, height=60)
    found = image.convert("L")
    assert found.getpixel((30, 2)) < 40
    assert found.getpixel((30, 37)) > 200


def test_nothing_of_the_metadata_is_left(made: Any) -> None:
    exif = Image.Exif()
    exif[0x010F] = "a camera"
    exif.get_ifd(0x8825)[1] = "N"
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    text = PngInfo()
    text.add_text("Author", "somebody")
    for content in (
        saved(picture(), "JPEG", exif=exif, icc_profile=profile, comment=b"somebody", dpi=(300, 300)),
        saved(picture(), "PNG", exif=exif, icc_profile=profile, pnginfo=text, dpi=(300, 300)),
        saved(picture(), "WEBP", exif=exif, icc_profile=profile, xmp=b"<somebody/>"),
    ):
        image, item, _ = made(content, width=100, height=100)
        image.load()
        assert not image.getexif()
        assert set(image.info) <= {"jfif", "jfif_version", "jfif_unit", "jfif_density", "loop", "background",
                                   "timestamp", "duration"}  # fmt: skip
        assert item.size < 5000


def swapped_profile() -> bytes:
    """sRGB with red and blue exchanged: the names of two entries in the profile's table (ICC.1, 7.3)."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    table = 132 + 12 * struct.unpack_from(">I", profile, 128)[0]
    names = profile[:table].replace(b"rXYZ", b"____").replace(b"bXYZ", b"rXYZ").replace(b"____", b"bXYZ")
    return names + profile[table:]


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_colours_are_those_the_profile_means(made: Any, kind: str) -> None:
    quality = {} if kind == "PNG" else {"quality": 95}
    image, _, _ = made(saved(picture(), kind, icc_profile=swapped_profile(), **quality), width=60, height=60)
    assert alike(corners(image), [BLUE, GREEN, RED, WHITE], 20)


@pytest.mark.parametrize("profile", [b"no profile", ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()])
def test_a_profile_that_is_damaged_or_of_another_mode_changes_nothing(made: Any, profile: bytes) -> None:
    image, _, _ = made(saved(picture(), "PNG", icc_profile=profile), width=60, height=60)
    assert alike(corners(image), [RED, GREEN, BLUE, WHITE], 20)


@pytest.mark.parametrize(
    ("source", "box", "wanted"),
    [((40, 30), (256, 256), (40, 30)), ((3000, 2), (100, 100), (100, 1)), ((2, 3000), (100, 100), (1, 100)),
     ((1, 1), (1, 1), (1, 1)), ((600, 400), (4096, 1), (1, 1)), ((1000, 1000), (333, 333), (333, 333))],
)  # fmt: skip
def test_it_fits_and_is_never_enlarged(
    made: Any, source: tuple[int, int], box: tuple[int, int], wanted: tuple[int, int]
) -> None:
    image, _, _ = made(saved(Image.new("RGB", source), "JPEG"), width=box[0], height=box[1])
    assert image.size == wanted


def test_of_an_animation_the_first_picture_is_taken(made: Any) -> None:
    frames = [Image.new("RGB", (60, 60), colour) for colour in (RED, GREEN, BLUE)]
    for kind in ("GIF", "WEBP", "PNG"):
        content = saved(frames[0], kind, save_all=True, append_images=frames[1:])
        image, _, _ = made(content, width=30, height=30)
        assert getattr(image, "n_frames", 1) == 1
        assert alike([image.convert("RGB").getpixel((9, 9))], [RED], 20)


def test_a_repeat_makes_no_second_thumbnail(
    run: Run, upload: Upload, engine: Engine, storage: LocalStorage, tmp_path: Path
) -> None:
    source = upload(saved(picture(), "PNG"))
    task_id = new_id()
    first = run(NAME, {"item_id": source.id}, task_id=task_id)
    objects = sorted((tmp_path / "storage").rglob("*"))
    again = run(NAME, {"item_id": source.id}, task_id=task_id, attempt=2)
    assert again.result == first.result
    assert sorted((tmp_path / "storage").rglob("*")) == objects
    other = run(NAME, {"item_id": source.id})
    assert other.result["item_id"] != first.result["item_id"]


def test_a_source_that_goes_away_meanwhile_leaves_nothing_behind(
    run: Run, upload: Upload, engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = upload(saved(picture(), "PNG"))
    render = thumbnails.render

    def slow(*args: Any) -> thumbnails.Thumbnail:
        made = render(*args)
        with ledger.transaction(engine) as conn:
            tree_items.delete(conn, [source.id])
        return made

    monkeypatch.setattr(thumbnails, "render", slow)
    assert refusal(run, source) == "item_not_found"
    stored = [p for p in (tmp_path / "storage").rglob("*") if p.is_file()]
    assert [p.name for p in stored] == [source.storage_key]


def png_header(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND", b"")


def bmp_header(width: int, height: int) -> bytes:
    return b"BM" + struct.pack("<IHHIIiiHHIIiiII", 54, 0, 0, 54, 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0)


def gif_header(width: int, height: int) -> bytes:
    return b"GIF89a" + struct.pack("<HHBBB", width, height, 0, 0, 0) + b",\0\0\0\0" + struct.pack(
        "<HHB", width, height, 0
    ) + b"\x08\x01\0\0;"  # fmt: skip


@pytest.mark.parametrize(
    "content",
    [png_header(50_000, 50_000), png_header(9_000, 9_000), png_header(2**31 - 1, 2**31 - 1),
     bmp_header(30_000, 30_000), gif_header(65_535, 65_535)],
    ids=["png", "png just above", "png enormous", "bmp", "gif"],
)  # fmt: skip
def test_a_pixel_bomb_is_refused_before_it_is_decoded(run: Run, upload: Upload, content: bytes, tmp_path: Path) -> None:
    assert refusal(run, upload(content)) == "image_too_large"
    said, peak = decoded(content, tmp_path)  # granted whatever it asks for
    assert said == [{"error": "image_too_large"}]
    assert peak <= OWN_BYTES + HEADER_BYTES


def test_what_is_just_below_the_limit_is_read(made: Any) -> None:
    image, _, _ = made(saved(Image.new("L", (8_000, 8_000)), "PNG"), width=10, height=10)
    assert image.size == (10, 10)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP"])
def test_a_truncated_image_is_refused_as_damaged(run: Run, upload: Upload, kind: str) -> None:
    noise = Image.effect_noise((300, 200), 80).convert("RGB")
    content = saved(noise, kind)
    for share in (0.5, 0.9):
        assert refusal(run, upload(content[: int(len(content) * share)])) in {
            "image_damaged",
            "image_unsupported",
        }


@pytest.mark.parametrize(
    "content",
    [b"", b"x", b"hello " * 1000, b"%PDF-1.7\n", b"<svg xmlns='http://www.w3.org/2000/svg'/>",
     b"\xff\xd8\xff",
     b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n", b"P6\n1 1\n255\n\0\0\0", b"\0" * 4096,
     saved(Image.new("RGB", (9, 9)), "PPM"), saved(Image.new("RGB", (16, 16)), "ICO"),
     saved(Image.new("RGB", (9, 9)), "PDF"), saved(Image.new("RGB", (16, 16)), "ICNS")],
)  # fmt: skip
def test_what_is_not_on_the_list_is_refused(run: Run, upload: Upload, content: bytes) -> None:
    assert refusal(run, upload(content, "photo.jpg")) == "image_unsupported"


@pytest.mark.parametrize("kind", one_in(3, ["JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP"]))
def test_garbled_images_are_failures_with_a_code_and_nothing_else(run: Run, upload: Upload, kind: str) -> None:
    content = saved(picture(60, 40), kind)
    for n in range(0, len(content), max(1, len(content) // 25)):
        garbled = bytearray(content)
        garbled[n : n + 4] = b"\xff\x00\xff\x7f"
        outcome = run(NAME, {"item_id": upload(bytes(garbled)).id, "width": 20, "height": 20}).outcome
        if isinstance(outcome, Failed):
            assert outcome.fault.code in {"image_damaged", "image_unsupported", "image_too_large"}


@pytest.mark.parametrize(
    ("source", "wanted"),
    [("../../etc/passwd", "passwd_9x9.png"), ("C:\\Users\\eva\\a.b.PNG", "a.b_9x9.png"),
     ("..", "image_9x9.png"),
     ("/", "image_9x9.png"), (".png", "png_9x9.png"), ("a\nb\u202e.jpg", "ab_9x9.png"),
     ("x" * 255 + ".jpg", "x" * 150 + "_9x9.png"), ("foto kék.jpg", "foto kék_9x9.png")],
)  # fmt: skip
def test_a_name_is_never_a_path(made: Any, source: str, wanted: str) -> None:
    _, item, _ = made(saved(Image.new("RGB", (9, 9)), "PNG"), source)
    assert item.name == wanted


def test_an_unknown_item_is_said_to_be_unknown(run: Run) -> None:
    outcome = run(NAME, {"item_id": new_id()}).outcome
    assert isinstance(outcome, Failed)
    assert outcome.fault.code == "item_not_found"

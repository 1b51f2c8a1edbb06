from __future__ import annotations

import os
import socket
import threading
import time
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from clipprompt.datasets.decoding import (
    MAX_PIXELS,
    UnreadableImageError,
    decode_image,
    decode_in_order,
    open_image,
)
from clipprompt.errors import UserError

RED = (254, 0, 0)  # what JPEG makes of pure red


def noise(width: int, height: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 255, (height, width, 3), dtype=np.uint8))


def save(path: Path, image: Image.Image, **options: Any) -> Path:
    image.save(path, **options)
    return path


# What is read


@pytest.mark.parametrize(
    ("mode", "name"),
    [
        ("1", "bits.png"),
        ("L", "grey.png"),
        ("LA", "grey-alpha.png"),
        ("P", "palette.png"),
        ("P", "palette.gif"),
        ("RGBA", "alpha.webp"),
        ("RGBA", "alpha.png"),
        ("CMYK", "ink.jpg"),
        ("CMYK", "ink.tif"),
        ("YCbCr", "video.tif"),
        ("I;16", "deep.png"),
        ("I;16", "deep.tif"),
        ("I", "deeper.tif"),
        ("F", "float.tif"),
    ],
)
def test_every_mode_opens_as_rgb(tmp_path: Path, mode: str, name: str) -> None:
    # Pillow 12 writes uncompressed YCbCr that it cannot read itself.
    how = {"compression": "tiff_lzw"} if mode == "YCbCr" else {}
    image = open_image(save(tmp_path / name, Image.new(mode, (6, 4)), **how))
    assert (image.mode, image.size) == ("RGB", (6, 4))


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.tif", "a.webp"])
def test_colours_survive(tmp_path: Path, name: str) -> None:
    pixel = open_image(save(tmp_path / name, Image.new("RGB", (16, 16), RED))).getpixel((8, 8))
    assert np.abs(np.subtract(pixel, RED)).max() <= 2


def test_inverted_inks_of_adobe_are_turned_back(tmp_path: Path) -> None:
    path = save(tmp_path / "ink.jpg", Image.new("CMYK", (16, 16), (0, 255, 255, 0)), quality=95)
    assert b"Adobe" in path.read_bytes()
    assert np.abs(np.subtract(open_image(path).getpixel((8, 8)), (255, 0, 0))).max() <= 4


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(tmp_path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    upright = decode_image(save(tmp_path / "turned.jpg", Image.new("RGB", (6, 4)), exif=exif))
    expected = (4, 6) if orientation >= 5 else (6, 4)
    assert (upright.image.size, upright.size) == (expected, expected)


def test_16_bit_grey_keeps_its_shades(tmp_path: Path) -> None:
    shades = np.array([[0, 20_000, 40_000, 65_535]], dtype=np.uint16)
    for name in ("grey.png", "grey.tif", "grey.pgm"):
        image = open_image(save(tmp_path / name, Image.fromarray(shades)))
        assert np.asarray(image)[0, :, 0].tolist() == [0, 78, 156, 255]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.0, 0.5, 1.0], [0, 128, 255]),
        ([0.0, 100.0, 255.0], [0, 100, 255]),
        ([-2.0, 0.0, 2.0], [0, 128, 255]),
        ([0.0, 500.0, 1000.0], [0, 128, 255]),
        ([np.nan, np.inf, 1.0], [0, 0, 255]),
        ([7.0, 7.0, 7.0], [7, 7, 7]),
        ([-5.0, -5.0, -5.0], [0, 0, 0]),
        ([3e38, -3e38, 3e38], [255, 0, 255]),
    ],
)
def test_floats_become_shades(tmp_path: Path, values: list[float], expected: list[int]) -> None:
    image = open_image(save(tmp_path / "float.tif", Image.fromarray(np.array([values], dtype=np.float32))))
    assert np.asarray(image)[0, :, 0].tolist() == expected


def test_palette_with_transparency_opens_without_a_warning(tmp_path: Path) -> None:
    image = Image.new("P", (4, 4), 1)
    image.putpalette([0, 0, 0, 200, 100, 50])
    image.save(tmp_path / "p.png", transparency=bytes([0, 128]))
    assert open_image(tmp_path / "p.png").getpixel((0, 0)) == (200, 100, 50)


@pytest.mark.parametrize("name", ["a.gif", "a.webp", "a.png", "a.tif"])
def test_first_frame_of_an_animation_is_taken(tmp_path: Path, name: str) -> None:
    others = [Image.new("RGB", (16, 16), colour) for colour in ("blue", "lime")]
    Image.new("RGB", (16, 16), RED).save(tmp_path / name, save_all=True, append_images=others)
    assert np.abs(np.subtract(open_image(tmp_path / name).getpixel((8, 8)), RED)).max() <= 4


def test_the_content_says_what_a_file_is_and_not_its_name(tmp_path: Path) -> None:
    assert open_image(save(tmp_path / "lies.jpg", Image.new("RGB", (6, 4)), format="PNG")).size == (6, 4)


@pytest.mark.parametrize("size", [(1, 1), (1, 10_000), (10_000, 1)])
def test_strange_shapes_open(tmp_path: Path, size: tuple[int, int]) -> None:
    assert open_image(save(tmp_path / "a.png", Image.new("RGB", size))).size == size


@pytest.mark.parametrize("name", ["line\nfeed.png", "猫 🐈.png", "esc\x1b[31m.png", "-.png", "'\".png"])
def test_any_name_opens(tmp_path: Path, name: str) -> None:
    assert open_image(save(tmp_path / name, Image.new("RGB", (6, 4)))).size == (6, 4)


def test_a_name_that_is_no_unicode_opens(tmp_path: Path) -> None:
    path = os.fsdecode(os.fsencode(tmp_path) + b"/\xff.png")
    with open(path, "wb") as file:  # noqa: PTH123
        Image.new("RGB", (6, 4)).save(file, format="PNG")
    assert open_image(path).size == (6, 4)


def test_broken_metadata_does_not_cost_the_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.new("RGB", (6, 4), "red").save(tmp_path / "a.png")
    monkeypatch.setattr("PIL.ImageOps.exif_transpose", lambda image, **options: 1 / 0)
    assert open_image(tmp_path / "a.png").size == (6, 4)


# What is refused, in one line

NOT_IMAGES: dict[str, tuple[bytes, str]] = {
    "empty.jpg": (b"", "the file is empty"),
    "text.jpg": (b"not an image", "not a picture of a known format"),
    "a.heic": (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC is not supported; save it as JPEG"),
    "a.svg": (b"  <svg xmlns='http://www.w3.org/2000/svg'/>", "SVG drawing"),
    "xml.svg": (b"\xef\xbb\xbf<?xml version='1.0'?><svg/>", "SVG drawing"),
    "a.pdf": (b"%PDF-1.7\n", "PDF document"),
    "a.eps": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "PostScript"),
    "page.jpg": (b"<!DOCTYPE HTML><title>404</title>", "web page"),
    "lfs.jpg": (b"version https://git-lfs.github.com/spec/v1\noid", "git lfs pull"),
    "zip.jpg": (b"PK\x03\x04....", "ZIP archive"),
    "zeros.jpg": (bytes(5000), "not a picture"),
    "none.ppm": (b"P6 0 0 255\n", "cannot read image"),
}


@pytest.mark.parametrize("name", NOT_IMAGES)
def test_what_is_no_picture_is_named_for_what_it_is(tmp_path: Path, name: str) -> None:
    content, reason = NOT_IMAGES[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UnreadableImageError, match=rf"cannot read image .*{name}: ") as caught:
        open_image(tmp_path / name)
    assert reason in str(caught.value)
    assert str(tmp_path) not in caught.value.reason


@pytest.mark.parametrize("ending", ["jpg", "png", "gif", "webp", "tif", "bmp"])
@pytest.mark.parametrize("share", [0.02, 0.5, 0.95])
def test_a_file_that_was_cut_off_is_refused(tmp_path: Path, ending: str, share: float) -> None:
    path = save(tmp_path / f"cut.{ending}", noise(64, 64))
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(UnreadableImageError, match=rf"cannot read image .*cut\.{ending}: \S"):
        open_image(path)


def test_a_bomb_is_refused_from_its_header(tmp_path: Path) -> None:
    header = b"P5 %d %d 255\n"
    for side in (int(MAX_PIXELS**0.5) + 1, 60_000):
        (tmp_path / "bomb.pgm").write_bytes(header % (side, side))
        with pytest.raises(UnreadableImageError, match="more than 178 million pixels; make it smaller"):
            open_image(tmp_path / "bomb.pgm")


def test_a_large_picture_within_the_limit_gives_no_warning(tmp_path: Path) -> None:
    path = save(tmp_path / "large.png", Image.new("1", (10_000, 10_000)))
    assert open_image(path).size == (10_000, 10_000)


def test_what_is_no_file_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "folder.jpg").mkdir()
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "s.jpg"))
        reasons = {"pipe.jpg": "pipe", "folder.jpg": "folder", "s.jpg": "socket", "/dev/zero": "device"}
        for name, reason in reasons.items():
            with pytest.raises(UnreadableImageError, match=f": it is a {reason}"):
                open_image(tmp_path / name)


@pytest.mark.parametrize("name", ["nowhere.jpg", "zero\0byte.jpg", "x" * 300 + ".jpg"])
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(UnreadableImageError, match=name[:4]):
        open_image(f"{tmp_path}/{name}")


def test_a_dangling_link_is_named(tmp_path: Path) -> None:
    (tmp_path / "link.jpg").symlink_to(tmp_path / "gone.jpg")
    with pytest.raises(UnreadableImageError, match=r"link\.jpg: no such file"):
        open_image(tmp_path / "link.jpg")


def test_no_permission_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise PermissionError(13, "Permission denied", str(tmp_path))

    path = save(tmp_path / "secret.png", noise(4, 4))
    monkeypatch.setattr(Image, "open", refuse)  # a test may run as a user who may read everything
    with pytest.raises(UnreadableImageError, match=r"secret\.png: permission denied$"):
        open_image(path)


def test_a_name_cannot_write_control_characters(tmp_path: Path) -> None:
    with pytest.raises(UnreadableImageError, match=r"red\\x1b\[31m\\nline\.jpg"):
        open_image(tmp_path / "red\x1b[31m\nline.jpg")


# Drafts


@pytest.mark.parametrize(
    ("size", "wanted", "expected"),
    [
        ((640, 480), 224, (320, 240)),
        ((640, 480), 240, (320, 240)),
        ((640, 480), 241, (640, 480)),
        ((4000, 3000), 224, (500, 375)),
        ((300, 200), 224, (300, 200)),
    ],
)
def test_a_draft_keeps_both_sides_above_what_is_wanted(
    tmp_path: Path, size: tuple[int, int], wanted: int, expected: tuple[int, int]
) -> None:
    decoded = decode_image(save(tmp_path / "a.jpg", Image.new("RGB", size)), draft=wanted)
    assert (decoded.image.size, decoded.size) == (expected, size)


def test_a_draft_is_turned_upright_and_says_the_whole_size(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    path = save(tmp_path / "a.jpg", Image.new("RGB", (1008, 1007)), exif=exif)
    decoded = decode_image(path, draft=125)
    assert (decoded.image.size, decoded.size) == ((126, 126), (1007, 1008))


@pytest.mark.parametrize(("mode", "name"), [("CMYK", "a.jpg"), ("L", "a.jpg"), ("RGB", "a.png"), ("P", "a.gif")])
def test_a_draft_of_any_kind_opens_as_rgb(tmp_path: Path, mode: str, name: str) -> None:
    image = open_image(save(tmp_path / name, Image.new(mode, (64, 64))), draft=16)
    assert image.mode == "RGB"
    assert min(image.size) >= 16


# Many at once


def test_warnings_of_pillow_stay_inside_whatever_the_filters(tmp_path: Path) -> None:
    content = save(tmp_path / "odd.png", noise(16, 16)).read_bytes()
    no_frames = b"acTL" + bytes(8)
    chunk = (8).to_bytes(4, "big") + no_frames + zlib.crc32(no_frames).to_bytes(4, "big")
    (tmp_path / "odd.png").write_bytes(content[:33] + chunk + content[33:])
    with pytest.warns(UserWarning, match="Invalid APNG"):
        Image.open(tmp_path / "odd.png").close()
    before = list(warnings.filters)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        results = list(decode_in_order([tmp_path / "odd.png"] * 40, open_image, workers=4))
        assert warnings.filters[0][0] == "always"
    assert seen == []
    assert all(isinstance(image, Image.Image) for _, image in results)
    assert list(warnings.filters) == before


@pytest.mark.parametrize("workers", [0, 1, 4])
def test_results_come_in_order_whatever_takes_long(workers: int) -> None:
    def decode(number: int) -> int:
        time.sleep(0.002 * (number % 3 == 0))
        return number * number

    assert list(decode_in_order(range(40), decode, workers=workers, ahead=8)) == [(n, n * n) for n in range(40)]


@pytest.mark.parametrize("workers", [0, 3])
def test_a_users_error_takes_the_place_of_its_result_and_a_bug_is_raised(workers: int) -> None:
    def decode(number: int) -> int:
        if number == 2:
            raise UserError("two is broken")
        return 1 // (4 - number)

    results = decode_in_order(range(6), decode, workers=workers, ahead=2)
    assert [isinstance(result, UserError) for _, result in (next(results) for _ in range(4))] == [0, 0, 1, 0]
    with pytest.raises(ZeroDivisionError):
        list(results)


@pytest.mark.parametrize("ahead", [0, 1, 5])
def test_no_more_than_the_window_is_decoded_ahead(ahead: int) -> None:
    started: list[int] = []
    results = decode_in_order(range(100), started.append, workers=2, ahead=ahead)
    for position in range(50):
        next(results)
        assert len(started) <= position + 1 + max(ahead, 1)


def test_a_reader_that_stops_early_leaves_no_thread_behind() -> None:
    release = threading.Event()
    decode: Callable[[int], bool] = lambda number: number == 0 or release.wait(5)  # noqa: E731
    results = decode_in_order(range(1000), decode, workers=2, ahead=50)
    next(results)
    results.close()  # type: ignore[attr-defined]
    release.set()
    deadline = time.monotonic() + 5
    while any(thread.name.startswith("decode") for thread in threading.enumerate()):
        assert time.monotonic() < deadline
        time.sleep(0.005)

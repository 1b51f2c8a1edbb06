from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from clipprompt.datasets import MultiLabelImages, open_image
from clipprompt.errors import UserError

CLASSES = ("cat", "hot dog")


def make(targets: list[list[int]], classnames: tuple[str, ...] = CLASSES, **more: Any) -> MultiLabelImages:
    ids = tuple(f"{row}.jpg" for row in range(len(targets)))
    fields = {"items": list(ids), "ids": ids} | more
    return MultiLabelImages("tiny", classnames=classnames, targets=np.array(targets, dtype=np.int8), **fields)


@pytest.mark.parametrize(("mode", "name"), [("L", "g.png"), ("P", "p.png"), ("RGBA", "a.png"), ("CMYK", "c.jpg")])
def test_every_mode_opens_as_rgb(tmp_path: Path, mode: str, name: str) -> None:
    Image.new(mode, (6, 4)).save(tmp_path / name)
    assert open_image(tmp_path / name).mode == "RGB"


def test_exif_orientation_is_applied(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees
    Image.new("RGB", (6, 4)).save(tmp_path / "turned.jpg", exif=exif)
    assert open_image(tmp_path / "turned.jpg").size == (4, 6)


def test_16_bit_grey_keeps_its_shades(tmp_path: Path) -> None:
    shades = np.array([[0, 20_000, 40_000, 65_535]], dtype=np.uint16)
    Image.fromarray(shades).save(tmp_path / "grey.png")
    assert np.asarray(open_image(tmp_path / "grey.png"))[0, :, 0].tolist() == [0, 78, 156, 255]


def test_palette_with_transparency_opens_without_a_warning(tmp_path: Path) -> None:
    image = Image.new("P", (4, 4), 1)
    image.putpalette([0, 0, 0, 200, 100, 50])
    image.save(tmp_path / "p.png", transparency=bytes([0, 128]))
    assert open_image(tmp_path / "p.png").getpixel((0, 0)) == (200, 100, 50)


def test_broken_metadata_does_not_cost_the_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.new("RGB", (6, 4), "red").save(tmp_path / "a.png")
    monkeypatch.setattr("PIL.ImageOps.exif_transpose", lambda image: 1 / 0)
    assert open_image(tmp_path / "a.png").size == (6, 4)


@pytest.mark.parametrize("damage", ["empty", "text", "cut"])
def test_unreadable_image_is_named(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "broken.jpg"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)).save(path)
    content = {"empty": b"", "text": b"not an image", "cut": path.read_bytes()[:500]}[damage]
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"cannot read image .*broken\.jpg"):
        open_image(path)


def test_missing_image_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nowhere"):
        open_image(tmp_path / "nowhere.jpg")


def test_item_is_opened_by_the_set_that_holds_it() -> None:
    dataset = make([[1, 0]], open_item=lambda item: Image.new("RGB", (len(item), 1)))
    assert dataset[0].size == (5, 1)


def test_label_two_is_refused() -> None:
    with pytest.raises(UserError, match="label 2 is not one of"):
        make([[1, 2]])


def test_set_without_images_is_refused() -> None:
    with pytest.raises(UserError, match="no image"):
        make([])


def test_class_twice_is_refused_whatever_its_spelling() -> None:
    with pytest.raises(UserError, match="'hot dog' is there twice"):
        make([[1, 0]], classnames=("hot dog", "Hot_Dog"))


def test_shapes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(UserError, match="do not fit"):
        make([[1, 0, 0]])


def test_classes_are_selected_in_the_asked_order() -> None:
    picked = make([[1, 0], [-1, 1]]).with_classes(["Hot_dog", "cat"])
    assert picked.classnames == ("Hot_dog", "cat")
    assert picked.targets.tolist() == [[0, 1], [1, -1]]


def test_unknown_class_is_refused_with_the_nearest() -> None:
    with pytest.raises(UserError, match=r"'hotdog' \(did you mean 'hot dog'\?\)"):
        make([[1, 0]]).with_classes(["hotdog"])


def test_subset_keeps_rows_together() -> None:
    part = make([[1, 0], [0, 1], [0, 0]]).subset([2, 0])
    assert part.ids == ("2.jpg", "0.jpg")
    assert part.items == ["2.jpg", "0.jpg"]
    assert part.targets.tolist() == [[0, 0], [1, 0]]


def test_split_hash_sees_labels_ids_and_order_but_no_folder() -> None:
    base = make([[1, 0], [0, 1]])
    same = make([[1, 0], [0, 1]], items=[os.sep + "elsewhere", os.sep + "too"])
    others = [make([[1, 0], [0, 0]]), base.subset([1, 0]), make([[1, 0], [0, 1]], ids=("0.jpg", "x.jpg"))]
    assert base.split_hash() == same.split_hash()
    assert len({base.split_hash(), *(other.split_hash() for other in others)}) == 4


def test_class_hash_sees_the_order_of_classes() -> None:
    assert make([[1, 0]]).class_hash() != make([[1, 0]]).with_classes(["hot dog", "cat"]).class_hash()

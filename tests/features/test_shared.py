from __future__ import annotations

import gc
import weakref
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from clipprompt.backbone import Backbone, load_backbone
from clipprompt.datasets import open_image
from clipprompt.features import shared
from clipprompt.features.image_cache import ImageCache
from clipprompt.features.images import Wanted, encode_images, everything
from clipprompt.features.shared import ImageMemory, shared_features


@pytest.fixture
def backbone(tiny_folder: Path) -> Backbone:
    """One of each test's own, so that nothing is kept for it yet."""
    return load_backbone(str(tiny_folder), device="cpu")


@pytest.fixture
def counted(backbone: Backbone, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Images of each pass of the tower."""
    seen, trunk = list[int](), backbone.vision.trunk

    def count(images: torch.Tensor) -> object:
        seen.append(len(images))
        return trunk(images)

    monkeypatch.setattr(backbone.vision, "trunk", count)
    return seen


def _draw(item: str, shade: int) -> Image.Image:
    return Image.new("RGB", (40, 40), (shade, 30 * int(item), 7))


DRAWN = [str(number) for number in range(5)]


@pytest.mark.parametrize("cached", [False, True])
def test_files_are_encoded_once(
    backbone: Backbone, files: list[Path], tmp_path: Path, counted: list[int], cached: bool
) -> None:
    cache = tmp_path / "cache" if cached else None
    first = shared_features(backbone, files, open_image, cache=cache, batch_size=4)
    assert shared_features(backbone, list(files), open_image, cache=cache, batch_size=4) is first
    assert isinstance(first, ImageCache if cached else ImageMemory)
    assert counted == [4, 3]


def test_drawn_pictures_are_encoded_once_and_kept_in_memory(
    backbone: Backbone, tmp_path: Path, counted: list[int]
) -> None:
    opener = partial(_draw, shade=3)
    first = shared_features(backbone, DRAWN, opener, cache=tmp_path / "cache")
    again = shared_features(backbone, list(DRAWN), partial(_draw, shade=3), cache=tmp_path / "cache")
    assert again is first
    assert isinstance(first, ImageMemory)
    assert counted == [5]
    assert not (tmp_path / "cache").exists()


def test_drawn_pictures_are_kept_on_disk_as_exactly_as_in_memory(
    tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opener, wanted = partial(_draw, shade=3), (True,)
    read = []
    for cache, drawn_by in ((None, ""), (tmp_path, "a"), (tmp_path, "a"), (tmp_path, "b")):
        backbone = load_backbone(str(tiny_folder), device="cpu")  # as another process has it
        kept = shared_features(backbone, DRAWN, opener, wanted, cache=cache, drawn_by=drawn_by)
        assert isinstance(kept, ImageMemory if cache is None else ImageCache)
        ((_, features),) = kept.read(everything(backbone, wanted))
        read.append(features)
    for features in read[1:]:
        assert torch.equal(features.pooled[True], read[0].pooled[True])
        assert torch.equal(features.local[True], read[0].local[True])
    assert len(list(tmp_path.iterdir())) == 2  # one for each way of drawing

    def refuse(images: torch.Tensor) -> None:
        raise AssertionError("encoded again")

    monkeypatch.setattr(backbone.vision, "trunk", refuse)
    shared_features(backbone, DRAWN, opener, wanted, cache=tmp_path, drawn_by="a")


def test_pooled_features_are_read_out_of_an_entry_with_places(backbone: Backbone, files: list[Path]) -> None:
    kept = shared_features(backbone, files, open_image, (False,))
    assert kept is not None
    ((_, whole),) = kept.read(everything(backbone, (False,)))
    ((_, pooled),) = kept.read(Wanted((True,), ()))
    assert torch.equal(pooled.pooled[True], whole.pooled[True])
    assert pooled.local == {}


def test_other_pictures_of_the_same_names_are_encoded_too(backbone: Backbone) -> None:
    one, other = (shared_features(backbone, DRAWN, partial(_draw, shade=shade)) for shade in (3, 200))
    assert one is not None
    assert other is not None
    wanted = everything(backbone, ())
    ((_, ours),), ((_, theirs),) = one.read(wanted), other.read(wanted)
    assert not torch.equal(ours.pooled[True], theirs.pooled[True])


def test_a_file_that_changed_is_encoded_again(backbone: Backbone, files: list[Path], counted: list[int]) -> None:
    shared_features(backbone, files, open_image)
    Image.new("RGB", (50, 50)).save(files[3])
    shared_features(backbone, files, open_image)
    assert counted == [7, 7]


def test_memory_holds_the_features_exactly(backbone: Backbone, files: list[Path]) -> None:
    assert backbone.preprocess is not None
    wanted = everything(backbone, (False, True))
    kept = shared_features(backbone, files, open_image, wanted.places)
    assert kept is not None
    ((places, found),) = kept.read(wanted)
    expected = encode_images(backbone, torch.stack([backbone.preprocess(open_image(path)) for path in files]), wanted)
    assert places == list(range(7))
    for kind in (True, False):
        torch.testing.assert_close(found.pooled[kind], expected.pooled[kind], rtol=0, atol=1e-6)
        torch.testing.assert_close(found.local[kind], expected.local[kind], rtol=0, atol=1e-6)


def test_unreadable_pictures_are_told_at_every_call(backbone: Backbone, files: list[Path]) -> None:
    files[2].write_bytes(b"no picture")
    for _ in range(2):
        kept = shared_features(backbone, files, open_image)
        assert kept is not None
        ((place, reason),) = kept.unreadable()
        assert (place, "2.jpg" in str(reason)) == (2, True)
        assert [n for places, _ in kept.read(everything(backbone, ()), 3) for n in places] == [0, 1, 3, 4, 5, 6]


def test_what_is_too_large_for_memory_is_not_kept(
    backbone: Backbone, files: list[Path], monkeypatch: pytest.MonkeyPatch, counted: list[int]
) -> None:
    size = len(files) * 2 * backbone.embed_dim * 4
    monkeypatch.setattr(shared, "_MEMORY_BYTES", size)
    assert shared_features(backbone, files, open_image) is not None
    assert shared_features(backbone, files, open_image, (False,)) is None
    assert counted == [7]


def test_the_oldest_features_make_room(
    backbone: Backbone, files: list[Path], monkeypatch: pytest.MonkeyPatch, counted: list[int]
) -> None:
    monkeypatch.setattr(shared, "_MEMORY_BYTES", 2 * len(files) * 2 * backbone.embed_dim * 4)
    orders = [list(np.roll(files, turn)) for turn in range(3)]
    for order in (*orders, orders[2], orders[1], orders[0]):
        shared_features(backbone, order, open_image)
    assert counted == [7, 7, 7, 7]  # only the first had to be made again


def test_features_go_with_their_backbone(tiny_folder: Path, files: list[Path], tmp_path: Path) -> None:
    for cache in (None, tmp_path / "cache"):
        backbone = load_backbone(str(tiny_folder), device="cpu")
        kept = weakref.ref(shared_features(backbone, files, open_image, cache=cache))  # type: ignore[arg-type]
        gone = weakref.ref(backbone)
        del backbone
        gc.collect()
        assert gone() is None
        assert kept() is None

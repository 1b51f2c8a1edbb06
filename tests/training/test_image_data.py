from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from open_clip.transform import image_transform
from PIL import Image

from clipprompt.backbone import Backbone, ImageTransform
from clipprompt.config import DataConfig
from clipprompt.datasets import MultiLabelImages
from clipprompt.errors import UserError
from clipprompt.learners import ImageFeatures, Learner, create_learner
from clipprompt.training import encoded_views
from clipprompt.training.data import Share
from clipprompt.training.encoded_pictures import encode_pictures
from clipprompt.training.encoded_views import encode_views
from clipprompt.training.image_data import ImageData, Pictures

CLASSNAMES = ("cat", "dog", "traffic light")
TARGETS = [[1, 0, 0], [0, 1, 0], [0, 1, -1], [1, 0, 1], [0, 0, 1], [1, -1, 0], [0, 1, 1]]
FLOAT32 = DataConfig(cache_dtype="float32")


def paint(number: int) -> Image.Image:
    noise = np.random.default_rng(number).integers(0, 256, (9 + number, 14, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize((90, 70))


@pytest.fixture
def pictures() -> Pictures:
    targets = np.array(TARGETS, dtype=np.int8)
    ids = tuple(str(number) for number in range(7))
    return Pictures(MultiLabelImages("painted", list(range(7)), CLASSNAMES, targets, ids, paint), np.arange(7))


@pytest.fixture
def backbone(tiny_vit_backbone: Backbone, monkeypatch: pytest.MonkeyPatch) -> Backbone:
    """The tiny CLIP with open_clip's transform for its image size."""
    monkeypatch.setattr(tiny_vit_backbone, "preprocess", ImageTransform(image_transform(64, is_train=False)))
    return tiny_vit_backbone


@pytest.fixture
def make(backbone: Backbone) -> Callable[..., Learner]:
    def create(method: str = "coop") -> Learner:
        return create_learner(method, backbone, CLASSNAMES, n_ctx=2)

    return create


def images_of(data: ImageData, *arguments: Any, **options: Any) -> list[torch.Tensor]:
    return [images for images, _ in data.batches(*arguments, **options)]


def same(one: list[torch.Tensor], other: list[torch.Tensor]) -> bool:
    return len(one) == len(other) and all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("start", [0, 1, 2, 3])
def test_views_are_the_same_from_any_batch_on(start: int, pictures: Pictures, backbone: Backbone) -> None:
    data = ImageData(backbone, pictures)
    whole = images_of(data, 1, 5, 2)
    assert [tuple(batch.shape) for batch in whole] == [(2, 3, 64, 64)] * 3
    assert same(whole[start:], images_of(data, 1, 5, 2, start))


def test_views_do_not_depend_on_threads_or_on_the_choice_of_pictures(pictures: Pictures, backbone: Backbone) -> None:
    threads = [ImageData(backbone, pictures, workers=workers) for workers in (0, 3)]
    assert same(images_of(threads[0], 0, 1, 7), images_of(threads[1], 0, 1, 7))
    some = replace(pictures, samples=np.array([1, 4, 6]))
    chosen = images_of(ImageData(backbone, some), 0, 1, 3)
    assert torch.equal(chosen[0], images_of(threads[0], 0, 1, 7)[0][[1, 4, 6]])


def test_each_epoch_and_each_seed_have_views_of_their_own(pictures: Pictures, backbone: Backbone) -> None:
    data = ImageData(backbone, pictures)
    first = images_of(data, 0, 1, 7)
    assert not same(first, images_of(data, 1, 1, 7))
    assert not same(first, images_of(data, 0, 2, 7))


def test_labels_go_with_their_images_and_unknown_ones_are_kept(pictures: Pictures, backbone: Backbone) -> None:
    data = ImageData(backbone, pictures, augment=False)
    own = {tuple(images[0].flatten()[:50].tolist()): labels[0].tolist() for images, labels in data.in_order(1)}
    assert list(own.values()) == TARGETS
    for images, labels in data.batches(3, 1, 2):
        assert labels.dtype == torch.float32
        assert [own[tuple(image.flatten()[:50].tolist())] for image in images] == labels.tolist()


def test_without_augmentation_images_are_those_of_evaluation(pictures: Pictures, backbone: Backbone) -> None:
    transform = backbone.preprocess
    assert transform is not None
    expected = torch.stack([transform(paint(number)) for number in range(7)])
    for augment in (False, True):  # validation is never augmented
        parts = list(ImageData(backbone, pictures, augment).in_order(3))
        assert [len(labels) for _, labels in parts] == [3, 3, 1]
        torch.testing.assert_close(torch.cat([images for images, _ in parts]), expected)


@pytest.mark.parametrize("batch_size", [1, 3, 100])
def test_shares_make_up_the_batch(batch_size: int, pictures: Pictures, backbone: Backbone) -> None:
    data = ImageData(backbone, pictures)
    whole = list(data.batches(1, 1, batch_size))
    shares = [list(data.batches(1, 1, batch_size, share=Share(rank, 2))) for rank in (0, 1)]
    for parts, (images, labels) in zip(zip(*shares, strict=True), whole, strict=True):
        assert torch.equal(torch.cat([part for part, _ in parts]), images)
        assert torch.equal(torch.cat([part for _, part in parts]), labels)


@pytest.mark.parametrize("method", ["coop", "dualcoop"])
def test_cached_views_are_those_of_the_first_epochs_in_turn(
    method: str, make: Callable[..., Learner], pictures: Pictures
) -> None:
    learner = make(method)
    fresh = ImageData(learner.backbone, pictures)
    cached = encode_views(learner, pictures, FLOAT32, n_views=2, seed=5)
    for epoch in (0, 1, 2, 3):
        orders = zip(cached.batches(epoch, 5, 3), fresh.batches(epoch, 5, 3), strict=True)
        for (features, labels), (images, expected) in orders:
            assert torch.equal(labels, expected)
            own = learner.encode_images(images)
            close = torch.allclose(features.global_, own.global_, atol=2e-6)
            assert close == (epoch < 2)
            if method == "dualcoop" and epoch < 2:
                torch.testing.assert_close(features.local, own.local, rtol=0, atol=2e-6)


def test_views_of_later_epochs_are_those_of_earlier_ones(make: Callable[..., Learner], pictures: Pictures) -> None:
    cached = encode_views(make(), pictures, FLOAT32, n_views=3, seed=1)
    numbers = np.arange(7)
    assert torch.equal(cached.take(numbers, 4 % 3)[0].global_, cached.take(numbers, 1)[0].global_)
    assert cached.n_views == 3
    assert sorted(cached.items.tolist()) == [0, 3, 6, 9, 12, 15, 18]


@pytest.mark.parametrize(("method", "n_rows"), [("coop", 1), ("cocoop", 1), ("dualcoop", 1 + 1 + 16)])
def test_only_what_the_learner_reads_is_kept(method: str, n_rows: int, backbone: Backbone, pictures: Pictures) -> None:
    learner = create_learner(method, backbone, CLASSNAMES)
    cached = encode_views(learner, pictures, DataConfig(), n_views=2)
    assert cached.cache.rows.shape == (7 * 2 * n_rows, backbone.embed_dim)
    assert cached.cache.rows.dtype == np.float16


def test_without_views_the_picture_is_kept_as_evaluation_sees_it(
    make: Callable[..., Learner], pictures: Pictures
) -> None:
    learner = make()
    features, _ = encode_pictures(learner, [pictures], FLOAT32)[0].take(np.arange(7))
    images = torch.cat([images for images, _ in ImageData(learner.backbone, pictures).in_order(7)])
    assert isinstance(features, ImageFeatures)
    torch.testing.assert_close(features.global_, learner.encode_images(images).global_, rtol=0, atol=2e-6)


def test_encoding_that_was_cut_off_goes_on(
    make: Callable[..., Learner], pictures: Pictures, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = list[int]()
    images = replace(pictures.images, open_item=lambda item: (opened.append(item), paint(item))[1])
    counted = replace(pictures, images=images)
    monkeypatch.setattr(encoded_views, "_VIEWS_PER_BLOCK", 4)
    monkeypatch.setattr(encoded_views, "_FEWEST_PICTURES", 1)
    calls = iter([None, None, KeyboardInterrupt])  # a block holds the two views of two pictures

    def cut_off() -> None:
        if (error := next(calls)) is not None:
            raise error

    with pytest.raises(KeyboardInterrupt):
        encode_views(make(), counted, DataConfig(), n_views=2, folder=tmp_path, after_batch=cut_off)
    opened.clear()
    cached = encode_views(make(), counted, DataConfig(), n_views=2, folder=tmp_path)
    assert sorted(opened) == [4, 5, 6]  # each is decoded once for both of its views
    whole = encode_views(make(), pictures, DataConfig(), n_views=2)
    assert np.array_equal(cached.cache.rows, whole.cache.rows)


def test_other_views_have_a_cache_of_their_own(
    make: Callable[..., Learner], pictures: Pictures, tmp_path: Path
) -> None:
    for options in ({"n_views": 1}, {"n_views": 1}, {"n_views": 2}, {"n_views": 1, "seed": 3}):
        encode_views(make(), pictures, DataConfig(cache=str(tmp_path)), **options)
    assert len(list(tmp_path.iterdir())) == 3
    encode_views(make(), replace(pictures, samples=np.arange(3)), DataConfig(cache=str(tmp_path)), n_views=1)
    assert len(list(tmp_path.iterdir())) == 4
    labels = replace(pictures, images=replace(pictures.images, targets=1 - np.abs(pictures.images.targets)))
    encode_views(make(), labels, DataConfig(cache=str(tmp_path), fingerprint="other"), n_views=1)
    assert len(list(tmp_path.iterdir())) == 4


@pytest.mark.parametrize("encoded", [False, True])
def test_a_picture_that_is_gone_stops_the_run_in_one_line(
    encoded: bool, make: Callable[..., Learner], pictures: Pictures
) -> None:
    def fail(item: int) -> Image.Image:
        if item == 4:
            raise UserError("cannot read image 4: gone")
        return paint(item)

    broken = replace(pictures, images=replace(pictures.images, open_item=fail))
    fresh = ImageData(make().backbone, broken)
    with pytest.raises(UserError, match="cannot read image 4: gone, though it was read when the run started"):
        encode_views(make(), broken, DataConfig(), n_views=2) if encoded else images_of(fresh, 0, 1, 3)


def test_a_transform_that_changes_a_ready_view_is_refused(
    pictures: Pictures, backbone: Backbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    def own(image: Image.Image) -> torch.Tensor:
        return torch.from_numpy(np.array(image.resize((64, 64)))).permute(2, 0, 1) / 255

    monkeypatch.setattr(backbone, "preprocess", ImageTransform(own))
    with pytest.raises(UserError, match=r"has a transform of its own make; train with data\.augment=none"):
        images_of(ImageData(backbone, pictures), 0, 1, 3)
    assert len(images_of(ImageData(backbone, pictures, augment=False), 0, 1, 3)) == 2

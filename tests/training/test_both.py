"""Captions and labelled pictures, learnt from in turn."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from open_clip.transform import image_transform
from torch import Tensor

from clipprompt.backbone import Backbone, ImageTransform
from clipprompt.config import DataConfig, RunConfig, load_config, read_config
from clipprompt.errors import UserError
from clipprompt.learners import CaptionFeatures, ImageFeatures, Learner, create_learner
from clipprompt.mini.captions import caption_split
from clipprompt.mini.scenes import VOC_CLASSES
from clipprompt.training.both import Both, CaptionsAndPictures
from clipprompt.training.data import FeatureData, Share, caption_data
from clipprompt.training.image_data import ImageData, Pictures
from clipprompt.training.labelled_images import held_out_images, load_labelled_images
from clipprompt.training.plan import plan_run
from clipprompt.training.run import load_source, run_training
from clipprompt.training.sentences import Sentences
from tests.training._worker import write_corpus, write_photos

CLASSNAMES = ("cat", "dog", "red_bus")
CAPTIONS = ["a cat", "a dog", "a red bus", "a cat and a dog", "two cats", "one bus", "dogs"]
LABELS = [[0], [1], [2], [0, 1], [0], [2], [1]]


@pytest.fixture
def backbone(tiny_vit_backbone: Backbone, monkeypatch: pytest.MonkeyPatch) -> Backbone:
    monkeypatch.setattr(tiny_vit_backbone, "preprocess", ImageTransform(image_transform(64, is_train=False)))
    monkeypatch.setattr("clipprompt.training.run.load_backbone", lambda *_, **__: tiny_vit_backbone)
    return tiny_vit_backbone


@pytest.fixture
def configure(backbone: Backbone, tmp_path: Path) -> Callable[..., RunConfig]:
    write_photos(tmp_path / "photos", CLASSNAMES)
    write_corpus(tmp_path / "c.parquet", CAPTIONS, LABELS, [name.replace("_", " ") for name in CLASSNAMES])

    def make(*settings: str, method: str = "tai_dpt") -> RunConfig:
        data = [f"data.dataset={tmp_path / 'photos'}", f"data.corpus={tmp_path / 'c.parquet'}"]
        return load_config(method, [*data, "n_ctx=2", "epochs=2", "batch_size=4", "templates=false", *settings])

    return make


@pytest.fixture
def learner(backbone: Backbone) -> Learner:
    return create_learner("tai_dpt", backbone, CLASSNAMES, n_ctx=2)


@pytest.fixture
def both(learner: Learner, configure: Callable[..., RunConfig]) -> Both:
    """7 captions, and fresh views of 12 pictures."""
    pictures = Pictures(load_labelled_images(configure()).images, np.arange(12))
    return Both(learner, caption_data(learner, CAPTIONS, LABELS, DataConfig()), ImageData(learner.backbone, pictures))


def values(batch: tuple[Any, Tensor]) -> Tensor:
    features = batch[0]
    return features.tokens if isinstance(features, CaptionFeatures) else features.global_


@pytest.mark.parametrize(("batch_size", "n_each"), [(4, 3), (2, 6), (7, 1), (100, 1)])
def test_captions_and_pictures_come_in_turn_and_as_often(both: Both, batch_size: int, n_each: int) -> None:
    kinds = [type(features) for features, _ in both.batches(0, 1, batch_size)]
    assert kinds == [CaptionFeatures, ImageFeatures] * n_each
    assert both.n_batches(batch_size) == 2 * n_each


@pytest.mark.parametrize("start", range(7))
def test_batches_are_the_same_from_any_one_on(both: Both, start: int) -> None:
    whole = [values(batch) for batch in both.batches(1, 5, 4)]
    rest = [values(batch) for batch in both.batches(1, 5, 4, start)]
    assert len(rest) == 6 - start
    assert all(torch.equal(one, other) for one, other in zip(whole[start:], rest, strict=True))


def test_the_smaller_part_goes_round_in_another_order_and_in_every_epoch_anew(both: Both) -> None:
    def captions(epoch: int) -> list[Tensor]:
        return [values(batch) for batch in list(both.batches(epoch, 1, 1))[::2]]

    first, second = captions(0), captions(1)
    assert len(first) == len(second) == 12  # of 7 captions: a round and five more
    rounds = [first[:7], first[7:], second[:7]]
    every = sorted(tokens.sum().item() for tokens in rounds[0])
    assert [sorted(tokens.sum().item() for tokens in one) for one in (rounds[0], rounds[2])] == [every, every]
    orders = [[tokens.sum().item() for tokens in one[:5]] for one in rounds]
    assert len({*map(tuple, orders)}) == 3


def test_a_fresh_view_is_what_the_learner_encodes(both: Both, learner: Learner) -> None:
    found = list(both.batches(0, 3, 4))[1::2]
    expected = list(both.pictures.batches(0, 3, 4))
    for (features, labels), (images, known) in zip(found, expected, strict=True):
        assert torch.equal(labels, known)
        assert torch.equal(features.local, learner.encode_images(images).local)


@pytest.mark.parametrize("batch_size", [1, 3])
def test_shares_make_up_the_batch(both: Both, batch_size: int) -> None:
    whole = list(both.batches(0, 1, batch_size))
    shares = [list(both.batches(0, 1, batch_size, share=Share(rank, 2))) for rank in (0, 1)]
    for one, other, batch in zip(*shares, whole, strict=True):
        assert torch.equal(torch.cat([one[1], other[1]]), batch[1])


@pytest.mark.parametrize("method", ["tai_dpt", "caption_dual"])
def test_a_loss_tells_captions_from_images(method: str, backbone: Backbone) -> None:
    learner = create_learner(method, backbone, CLASSNAMES, n_ctx=2)
    ids, images = backbone.tokenize(["a cat", "a dog"]), torch.randn(2, 3, 64, 64)
    labels = torch.tensor([[1.0, 0.0, -1.0], [0.0, 1.0, 0.0]])
    assert torch.equal(learner.loss(ids, labels), learner.loss_from(learner.encode_captions(ids), labels))
    assert torch.equal(learner.loss(images, labels), learner.loss_from(learner.encode_images(images), labels))


@pytest.mark.parametrize("views", ["train.views=0", "train.views=2", "data.augment=none"])
def test_a_run_learns_from_both_and_selects_by_pictures(
    views: str, configure: Callable[..., RunConfig], tmp_path: Path
) -> None:
    settings = (views, "known=0.9", "train.select=val_map", "val_fraction=0.3", "keep_empty=true")
    result = run_training(configure(*settings, method="caption_dual"), tmp_path / "run")
    assert result is not None
    assert result.steps == 2 * 2 * 2  # epochs, kinds, batches of 4 among some 8 pictures
    held = held_out_images(read_config(tmp_path / "run" / "config.yaml"))
    assert held is not None
    assert 0 < len(held) < 5
    assert (tmp_path / "run" / "labels.jsonl").exists()


def test_captions_take_the_pictures_names_and_order(configure: Callable[..., RunConfig], tmp_path: Path) -> None:
    write_corpus(tmp_path / "c.parquet", CAPTIONS, LABELS, ["Red Bus", "dog", "CAT"])
    source = load_source(configure())
    assert isinstance(source, CaptionsAndPictures)
    assert source.classnames == CLASSNAMES
    assert source.sentences.labels == [[2 - label for label in found[::-1]] for found in LABELS]


def test_a_part_of_the_classes_labels_captions_with_this_part(
    configure: Callable[..., RunConfig], tmp_path: Path
) -> None:
    write_corpus(tmp_path / "c.parquet", ["a cat", "a car", "a cat by a sofa"], [[7], [6], [7, 17]], VOC_CLASSES)
    source = load_source(configure("data.dataset=mini", "n_images=30", "subset=base"))
    assert isinstance(source, CaptionsAndPictures)
    assert source.classnames == VOC_CLASSES[:10]
    assert source.sentences.labels == [[7], [6], [7]]
    source = load_source(configure("data.dataset=mini", "n_images=30", "subset=novel"))
    assert isinstance(source, CaptionsAndPictures)
    assert (source.sentences.texts, source.sentences.labels) == (["a cat by a sofa"], [[7]])


@pytest.mark.parametrize(("classes", "odd"), [(["cat", "dog"], "red_bus"), (["cat", "dog", "red bus", "cow"], "cow")])
def test_other_classes_are_refused(
    classes: list[str], odd: str, configure: Callable[..., RunConfig], tmp_path: Path
) -> None:
    write_corpus(tmp_path / "c.parquet", ["a cat"], [[0]], classes)
    with pytest.raises(UserError, match=f"must have the same classes, but '{odd}' is in the"):
        load_source(configure())


def test_what_either_teaches_is_in_the_fingerprint(configure: Callable[..., RunConfig], tmp_path: Path) -> None:
    source = load_source(configure("train.select=val", "val_fraction=0.25"))
    assert (len(source), len(source.sample(3, 1)), source.n_trained_on(configure("train.select=val"))) == (19, 6, 16)
    marks = {load_source(configure(*settings)).fingerprint() for settings in ([], ["known=0.5"], ["templates=true"])}
    assert len(marks) == 3


def test_a_plan_counts_the_steps_of_both(configure: Callable[..., RunConfig], tmp_path: Path) -> None:
    config = configure("train.select=val", "val_fraction=0.25", "data.augment=none")
    plan = plan_run(config)
    result = run_training(config, tmp_path / "run")
    assert result is not None
    assert (plan.n_steps, plan.steps_per_epoch) == (result.steps, 2 * 2)
    assert plan.data == "7 sentences and 12 pictures of 3 classes, not augmented, encoded once"
    assert plan.validation > 0


def test_drawn_captions_need_no_file() -> None:
    drawn = load_source(load_config("tai_dpt", ["data.corpus=mini", "templates=false", "n_captions=50"]))
    assert isinstance(drawn, Sentences)
    assert drawn.classnames == VOC_CLASSES
    captions = [caption for caption, _ in caption_split("captions", 50)]
    assert 30 < len(drawn) <= 50
    assert [caption for caption in captions if caption in drawn.texts] == drawn.texts


def test_tai_dpt_learns_from_pictures_alone(
    configure: Callable[..., RunConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = list[type]()
    loss_from = Learner.loss_from
    monkeypatch.setattr(
        "clipprompt.learners.tai_dpt.TaIDPT.loss_from",
        lambda self, features, labels: (seen.append(type(features)), loss_from(self, features, labels))[1],
    )
    run_training(configure("data.corpus=none", "data.augment=none"), tmp_path / "run")
    assert seen == [ImageFeatures] * 6


def test_data_of_features_are_both_or_one(learner: Learner, both: Both) -> None:
    assert isinstance(both.captions, FeatureData)
    assert both.is_encoded
    assert len(both) == 19
    assert [type(features) for features, _ in both.in_order(12)] == [CaptionFeatures, ImageFeatures]

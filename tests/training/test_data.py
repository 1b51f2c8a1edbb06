from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from clipprompt.config import DataConfig
from clipprompt.learners import CaptionFeatures, ImageFeatures, Learner
from clipprompt.training.data import FeatureData, caption_data, image_data, split_validation
from tests.training.conftest import CAPTIONS, CLASSNAMES, LABELS


def test_features_are_the_learners_own(learner: Learner) -> None:
    data = caption_data(learner, CAPTIONS, LABELS, DataConfig(cache_dtype="float32"))
    features, labels = data.take(np.array([4, 0, 8]))
    expected = learner.encode_captions(learner.backbone.tokenize([CAPTIONS[i] for i in (4, 0, 8)]))
    assert isinstance(features, CaptionFeatures)
    assert features.lengths.tolist() == expected.lengths.tolist()
    torch.testing.assert_close(features.tokens, expected.tokens, rtol=0, atol=2e-6)
    assert labels.tolist() == [[0, 1, 1, 1], [1, 0, 0, 0], [0, 0, 1, 0]]


def test_equal_captions_are_encoded_once(data: FeatureData) -> None:
    assert len(data) == len(CAPTIONS)
    assert len(data.cache) == len(set(CAPTIONS))
    assert data.items[0] == data.items[6]


def test_a_caption_too_long_for_the_tower_is_cut(learner: Learner) -> None:
    data = caption_data(learner, ["a cat " * 100], [[0]], DataConfig())
    features, _ = data.take(np.array([0]))
    assert features.lengths.tolist() == [learner.backbone.context_length]


def test_tokens_are_encoded_at_their_own_length(learner: Learner, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    encode = learner.encode_captions
    monkeypatch.setattr(learner, "encode_captions", lambda ids: (seen.append(tuple(ids.shape)), encode(ids))[1])
    data = caption_data(learner, CAPTIONS, LABELS, DataConfig())
    assert seen == [(len(set(CAPTIONS)), int(data.take(np.arange(len(data)))[0].lengths.max()))]


@pytest.mark.parametrize("start", [0, 1, 2])
def test_order_depends_on_seed_and_epoch_alone(data: FeatureData, start: int) -> None:
    def order(epoch: int, seed: int, first: int = 0) -> list[torch.Tensor]:
        return [features.tokens for features, _ in data.batches(epoch, seed, 4, first)]

    again = order(1, 5, start)
    assert len(again) == 2 - start
    for old, new in zip(order(1, 5)[start:], again, strict=True):
        assert torch.equal(old, new)
    assert any(old.shape != new.shape for old, new in zip(order(1, 5), order(2, 5), strict=True))
    assert any(old.shape != new.shape for old, new in zip(order(1, 5), order(1, 6), strict=True))


@pytest.mark.parametrize(("batch_size", "n_batches", "n_samples"), [(4, 2, 8), (11, 1, 11), (100, 1, 11), (1, 11, 11)])
def test_a_smaller_last_batch_is_left_out_unless_it_is_the_only_one(
    data: FeatureData, batch_size: int, n_batches: int, n_samples: int
) -> None:
    sizes = [len(labels) for _, labels in data.batches(0, 1, batch_size)]
    assert (len(sizes), sum(sizes)) == (n_batches, n_samples)
    assert data.n_batches(batch_size) == n_batches


def test_all_samples_come_in_an_epoch_once(learner: Learner) -> None:
    data = caption_data(learner, CAPTIONS, LABELS, DataConfig())
    labels = torch.cat([labels for _, labels in data.batches(0, 1, 1)])
    assert labels.sum(dim=0).tolist() == [sum(i in found for found in LABELS) for i in range(len(CLASSNAMES))]


@pytest.mark.parametrize("cache_dtype", ["float16", "float32"])
def test_features_on_disk_are_those_in_memory(learner: Learner, cache_dtype: str, tmp_path: Path) -> None:
    options = {"cache_dtype": cache_dtype}
    memory = caption_data(learner, CAPTIONS, LABELS, DataConfig(**options))
    disk = caption_data(learner, CAPTIONS, LABELS, DataConfig(cache=str(tmp_path), **options))
    budget = caption_data(learner, CAPTIONS, LABELS, DataConfig(cache_memory_gb=0.0, **options), tmp_path / "run")
    assert isinstance(disk.cache.rows, np.memmap)
    assert isinstance(budget.cache.rows, np.memmap)
    for other in (disk, budget):
        assert torch.equal(memory.take(np.arange(11))[0].tokens, other.take(np.arange(11))[0].tokens)


def test_another_precision_or_text_has_a_cache_of_its_own(learner: Learner, tmp_path: Path) -> None:
    caption_data(learner, CAPTIONS, LABELS, DataConfig(cache=str(tmp_path)))
    caption_data(learner, CAPTIONS, LABELS, DataConfig(cache=str(tmp_path)))
    assert len(list(tmp_path.iterdir())) == 1
    caption_data(learner, CAPTIONS[:3], LABELS[:3], DataConfig(cache=str(tmp_path)))
    caption_data(learner, CAPTIONS, LABELS, DataConfig(cache=str(tmp_path), cache_dtype="float32"))
    assert len(list(tmp_path.iterdir())) == 3


def test_image_features_are_batched_like_captions(make_learner: Callable[..., Learner]) -> None:
    learner = make_learner()
    generator = torch.Generator().manual_seed(0)
    features = ImageFeatures(
        F.normalize(torch.randn(6, 64, generator=generator), dim=-1),
        F.normalize(torch.randn(6, 9, 64, generator=generator), dim=-1),
    )
    data = image_data(learner, features, [[0], [1], [2], [3], [0, 1], []])
    taken, labels = data.take(np.array([5, 2]))
    assert isinstance(taken, ImageFeatures)
    assert torch.equal(taken.global_, features.global_[[5, 2]])
    assert torch.equal(taken.local, features.local[[5, 2]])
    assert labels.tolist() == [[0, 0, 0, 0], [0, 0, 1, 0]]


def test_captions_of_one_image_stay_on_one_side() -> None:
    groups = [("image", i // 5) for i in range(100)]
    kept, held = split_validation(groups, 0.2, 1)
    assert sorted([*kept.tolist(), *held.tolist()]) == list(range(100))
    assert len(held) == 20
    assert {groups[i] for i in kept}.isdisjoint({groups[i] for i in held})


def test_the_split_depends_on_its_seed() -> None:
    held = [split_validation(list(range(50)), 0.3, seed)[1].tolist() for seed in (1, 1, 2)]
    assert held[0] == held[1] != held[2]


@pytest.mark.parametrize(("n_groups", "fraction", "n_held"), [(1, 0.5, 0), (2, 0.01, 1), (2, 0.99, 1), (10, 0.3, 3)])
def test_neither_side_of_a_split_is_empty(n_groups: int, fraction: float, n_held: int) -> None:
    kept, held = split_validation(list(range(n_groups)), fraction, 1)
    assert (len(kept), len(held)) == (n_groups - n_held, n_held)


@pytest.mark.parametrize("loss", ["double_ranking", "asl", "bce"])
def test_float16_moves_the_loss_by_less_than_a_ten_thousandth(loss: str, make_learner: Callable[..., Learner]) -> None:
    learner = make_learner(loss=loss)
    values = []
    for dtype in ("float16", "float32"):
        data = caption_data(learner, CAPTIONS, LABELS, DataConfig(cache_dtype=dtype))
        values.append(learner.loss_from(*data.take(np.arange(len(data)))).item())
    assert values[0] != values[1]
    assert values[0] == pytest.approx(values[1], rel=1e-4)

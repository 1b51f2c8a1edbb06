"""A cache of the training pictures: its formula, how it is filled, saved and asked for other classes."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from clipprompt.backbone import Backbone
from clipprompt.errors import UserError
from clipprompt.learners import ImageFeatures, Learner, create_learner, load_learner, with_classes
from tests.conftest import assert_close

NAMES = ["cat", "dog", "horse"]
tuned_or_not = pytest.mark.parametrize("tuned", [False, True], ids=["as taken", "tuned"])


def _features(n: int, seed: int) -> ImageFeatures:
    whole = torch.randn(n, 64, generator=torch.Generator().manual_seed(seed))
    return ImageFeatures(whole / whole.norm(dim=1, keepdim=True), torch.empty(n, 0, 64))


def _filled(backbone: Backbone, labels: torch.Tensor | None = None, **options: Any) -> Learner:
    learner = create_learner("tip_adapter", backbone, NAMES, **options)
    labels = torch.tensor([0, 1, 2, 0, 1]) if labels is None else labels
    features = _features(len(labels), seed=0)
    parts = [slice(0, 2), slice(2, None)]
    learner.take_training_set((ImageFeatures(features[0][part], features[1][part]), labels[part]) for part in parts)
    return learner


@tuned_or_not
def test_logits_are_those_of_the_formula(tiny_vit_backbone: Backbone, tuned: bool) -> None:
    learner = _filled(tiny_vit_backbone, alpha=1.5, beta=3.0, tuned=tuned)
    asked, keys = _features(4, seed=1), _features(5, seed=0)
    text = learner.class_features().double()
    logits = learner.logits_from(asked).detach()
    for i, f in enumerate(asked.global_.double()):
        for c in range(len(NAMES)):
            value = tiny_vit_backbone.logit_scale * float(f @ text[c])
            for key, label in zip(keys.global_.double(), [0, 1, 2, 0, 1], strict=True):
                value += 1.5 * math.exp(-3.0 * (1 - float(f @ key))) * (label == c)
            assert logits[i, c].item() == pytest.approx(value, rel=1e-5)


def test_a_picture_of_several_classes_counts_for_each_and_unknown_labels_for_none(tiny_vit_backbone: Backbone) -> None:
    rows = torch.tensor([[1, 1, 0], [0, -1, 1], [-1, -1, -1]])
    assert _filled(tiny_vit_backbone, rows).state_dict()["values"].tolist() == [[1, 1, 0], [0, 0, 1], [0, 0, 0]]


def test_without_pictures_or_with_alpha_zero_it_is_zero_shot(tiny_vit_backbone: Backbone) -> None:
    zero_shot, asked = create_learner("zero_shot", tiny_vit_backbone, NAMES), _features(4, seed=1)
    expected = zero_shot.logits_from(asked)
    assert_close(create_learner("tip_adapter", tiny_vit_backbone, NAMES).logits_from(asked), expected, 1e-6)
    assert_close(_filled(tiny_vit_backbone, alpha=0.0).logits_from(asked), expected, 1e-6)


def test_keys_alone_are_learnt_and_only_where_asked_for(tiny_vit_backbone: Backbone) -> None:
    assert list(_filled(tiny_vit_backbone).parameters()) == []
    learner = _filled(tiny_vit_backbone, tuned=True)
    assert [key for key, _ in learner.named_parameters()] == ["keys"]
    learner.loss_from(_features(4, seed=1), torch.tensor([0, 1, 2, 0])).backward()
    gradient = learner.get_parameter("keys").grad
    assert gradient is not None
    assert gradient.abs().max() > 0


@tuned_or_not
def test_it_comes_back_from_its_folder_whatever_the_number_of_pictures(
    tiny_vit_backbone: Backbone, tmp_path: Path, tuned: bool
) -> None:
    learner, asked = _filled(tiny_vit_backbone, tuned=tuned), _features(4, seed=1)
    learner.save(tmp_path)
    again = load_learner(tmp_path, tiny_vit_backbone)
    assert torch.equal(again.logits_from(asked), learner.logits_from(asked))
    assert len(list(again.parameters())) == tuned


@tuned_or_not
def test_classes_keep_their_pictures_in_any_order_and_others_have_none(
    tiny_vit_backbone: Backbone, tmp_path: Path, tuned: bool
) -> None:
    learner, asked = _filled(tiny_vit_backbone, tuned=tuned), _features(4, seed=1)
    with torch.no_grad():
        whole = learner.logits_from(asked)
        some = with_classes(learner, ["Horse", "zebra", "cat"])
        logits = some.logits_from(asked)
        assert_close(logits[:, [0, 2]], whole[:, [2, 0]], 1e-6)
        zero_shot = create_learner("zero_shot", tiny_vit_backbone, ["Horse", "zebra", "cat"])
        assert_close(logits[:, 1], zero_shot.logits_from(asked)[:, 1], 1e-6)
        some.save(tmp_path)
        assert torch.equal(load_learner(tmp_path, tiny_vit_backbone).logits_from(asked), logits)
        learner.set_classes(["zebra"])
        learner.set_classes(NAMES)
        assert torch.equal(learner.logits_from(asked), whole)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param({"values": torch.zeros(4, 3)}, r"'values' has shape \(4, 3\), .* needs \(5, 3\)", id="fewer rows"),
        pytest.param({"values": torch.zeros(5, 2)}, r"'values' has shape \(5, 2\)", id="fewer classes"),
        pytest.param({"keys": torch.zeros(5, 32)}, r"'keys' has shape \(5, 32\), .* needs \(5, 64\)", id="other width"),
        pytest.param({"keys": torch.tensor(1.0)}, r"'keys' has shape \(\)", id="no rows"),
        pytest.param({"keys": torch.full((5, 64), math.nan)}, "'keys' holds values that are not finite", id="nan"),
        pytest.param({"keys": None}, "parameter 'keys' is missing", id="no keys"),
    ],
)
def test_a_cache_that_does_not_hold_together_is_refused(
    tiny_vit_backbone: Backbone, tmp_path: Path, change: dict[str, torch.Tensor | None], message: str
) -> None:
    _filled(tiny_vit_backbone).save(tmp_path)
    path = tmp_path / "prompt.safetensors"
    tensors = {key: value for key, value in {**load_file(path), **change}.items() if value is not None}
    save_file(tensors, path)
    with pytest.raises(UserError, match=message) as error:
        load_learner(tmp_path, tiny_vit_backbone)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("batches", "message"),
    [
        pytest.param([], "keeps the training pictures, and there are none", id="none"),
        pytest.param([(_features(2, 0), torch.tensor([0, 3]))], "class numbers from 0 to 2", id="no such class"),
        pytest.param([(_features(2, 0), torch.zeros(2, 4))], r"for 3 classes give \(B, 3\)", id="other classes"),
    ],
)
def test_a_training_set_that_does_not_fit_is_told_in_one_line(
    tiny_vit_backbone: Backbone, batches: Any, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        create_learner("tip_adapter", tiny_vit_backbone, NAMES).take_training_set(batches)

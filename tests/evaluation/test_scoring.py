from __future__ import annotations

from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from clipprompt.backbone import Backbone
from clipprompt.datasets import MultiLabelImages
from clipprompt.errors import UserError
from clipprompt.evaluation.scoring import BRANCHES, score_images
from clipprompt.features.shared import shared_features
from clipprompt.learners import Learner, create_learner
from tests.evaluation.conftest import CLASSES


@pytest.fixture
def learners(backbone: Backbone) -> dict[str, Learner]:
    return {
        "zero_shot": create_learner("zero_shot", backbone, CLASSES),
        "centred": create_learner("zero_shot", backbone, CLASSES, centre=True),
        "tai_dpt": create_learner("tai_dpt", backbone, CLASSES, n_ctx=4),
        "dualcoop": create_learner("dualcoop", backbone, CLASSES, n_ctx=4),
    }


def test_scores_are_the_learners_own(learners: dict[str, Learner], pictures: MultiLabelImages) -> None:
    scores = score_images(learners, pictures, batch_size=3).by_key
    transform = next(iter(learners.values())).backbone.preprocess
    assert transform is not None
    images = torch.stack([transform(pictures[index]) for index in range(len(pictures))])
    for name, learner in learners.items():
        with torch.no_grad():
            expected = learner.image_logits(images)
        for branch, logits in zip(BRANCHES, expected, strict=True):
            assert scores[name][branch].dtype == np.float32
            np.testing.assert_allclose(scores[name][branch], logits.numpy(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("batch_size", [1, 2, 7, 100])
def test_batch_size_does_not_matter(learners: dict[str, Learner], pictures: MultiLabelImages, batch_size: int) -> None:
    whole = score_images(learners, pictures).by_key
    parts = score_images(learners, pictures, batch_size=batch_size).by_key
    for name in learners:
        np.testing.assert_allclose(parts[name]["merged"], whole[name]["merged"], rtol=1e-5, atol=1e-5)


def test_workers_do_not_matter(learners: dict[str, Learner], pictures: MultiLabelImages) -> None:
    alone = score_images(learners, pictures, batch_size=3, workers=0).by_key
    helped = score_images(learners, pictures, batch_size=3, workers=3).by_key
    for name in learners:
        assert np.array_equal(helped[name]["merged"], alone[name]["merged"])


def test_every_image_passes_the_trunk_once(
    learners: dict[str, Learner], pictures: MultiLabelImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    tower = learners["tai_dpt"].backbone.vision
    seen: list[int] = []
    trunk = tower.trunk

    def count(images: torch.Tensor) -> Any:
        seen.append(len(images))
        return trunk(images)

    monkeypatch.setattr(tower, "trunk", count)
    score_images(learners, pictures, batch_size=4)
    assert seen == [4, 3]


def test_learner_whose_image_side_is_learnt_encodes_for_itself(
    learners: dict[str, Learner], pictures: MultiLabelImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = score_images(learners, pictures).by_key
    own = learners["centred"]
    encode = own.encode_images
    monkeypatch.setattr(own, "image_side_is_frozen", False, raising=False)
    monkeypatch.setattr(own, "encode_images", lambda images: encode(-images))
    changed = score_images(learners, pictures).by_key
    assert np.array_equal(changed["tai_dpt"]["merged"], plain["tai_dpt"]["merged"])
    assert np.abs(changed["centred"]["merged"] - plain["centred"]["merged"]).max() > 1e-3


def test_trained_prompts_can_be_trained_on_after_scoring(
    learners: dict[str, Learner], pictures: MultiLabelImages
) -> None:
    score_images(learners, pictures)
    learner = learners["tai_dpt"]
    tokens = learner.backbone.tokenize(["a cat", "a red bus under a tree"])
    learner.loss(tokens, torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 1.0]])).backward()
    assert all(parameter.grad is not None for parameter in learner.parameters())


def _with_broken(pictures: MultiLabelImages, folder: Path) -> MultiLabelImages:
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    return replace(pictures, items=[*pictures.items[:5], folder / "broken.png", pictures.items[6]])


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("cached", [False, True])
def test_broken_image_is_named_and_left_out(
    learners: dict[str, Learner], pictures: MultiLabelImages, tmp_path: Path, workers: int, cached: bool
) -> None:
    broken, cache = _with_broken(pictures, tmp_path), tmp_path / "cache" if cached else None
    scored = score_images(learners, broken, workers=workers, batch_size=2, cache=cache)
    rest = pictures.subset([0, 1, 2, 3, 4, 6])
    assert [name for name, _ in scored.skipped] == ["5.png"]
    assert scored.skipped[0][1].startswith("cannot read image ")
    assert "broken.png" in scored.skipped[0][1]
    assert scored.dataset.ids == rest.ids
    expected = score_images(learners, rest).by_key["tai_dpt"]["merged"]
    np.testing.assert_allclose(scored.by_key["tai_dpt"]["merged"], expected, atol=2e-3 if cached else 1e-5)


def test_a_set_without_a_readable_image_is_an_error(
    learners: dict[str, Learner], pictures: MultiLabelImages, tmp_path: Path
) -> None:
    broken = _with_broken(pictures, tmp_path).subset([5])
    with pytest.raises(UserError, match=r"labels: none of its 1 images can be read; cannot read image .*broken\.png"):
        score_images(learners, broken)


def test_cached_scores_are_the_direct_ones(
    learners: dict[str, Learner], pictures: MultiLabelImages, tmp_path: Path
) -> None:
    direct = score_images(learners, pictures).by_key
    for _ in range(2):  # the first time the cache is made, the second time it is read
        cached = score_images(learners, pictures, cache=tmp_path).by_key
        for name, branches in direct.items():
            for branch, scores in branches.items():
                scale = getattr(learners[name], "logit_scale", learners[name].backbone.logit_scale)
                bound = 1e-4 * scale  # 1e-4 of a cosine
                np.testing.assert_allclose(cached[name][branch], scores, atol=bound, err_msg=f"{name} {branch}")


def test_a_second_scoring_encodes_nothing(
    learners: dict[str, Learner], pictures: MultiLabelImages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = score_images(learners, pictures, cache=tmp_path).by_key["tai_dpt"]["merged"]
    backbone = learners["tai_dpt"].backbone
    monkeypatch.setattr(backbone.vision, "trunk", None)
    second = score_images(learners, pictures, cache=tmp_path).by_key["tai_dpt"]["merged"]
    assert np.array_equal(first, second)


def test_own_branch_is_what_the_learner_answers_with(learners: dict[str, Learner], pictures: MultiLabelImages) -> None:
    every = score_images(learners, pictures).by_key
    own = score_images(learners, pictures, own_branch=True).by_key
    for name, learner in learners.items():
        assert own[name].keys() == {learner.branch}
        np.testing.assert_allclose(own[name][learner.branch], every[name][learner.branch], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("places", [[6, 0, 3], [5, 1], [4]])
def test_kept_features_serve_some_of_the_pictures_in_any_order(
    learners: dict[str, Learner], pictures: MultiLabelImages, tmp_path: Path, places: list[int]
) -> None:
    broken = _with_broken(pictures, tmp_path)
    backbone = learners["dualcoop"].backbone
    kept = shared_features(backbone, broken.items, broken.open_item, (False, True), batch_size=3)
    some = broken.subset(places)
    found, direct = (score_images(learners, some, batch_size=2, kept=each) for each in (kept, None))
    assert found.skipped == direct.skipped
    assert found.dataset.ids == direct.dataset.ids
    for name, branches in direct.by_key.items():
        for branch, scores in branches.items():
            np.testing.assert_allclose(found.by_key[name][branch], scores, rtol=1e-5, atol=1e-5)


def test_score_that_is_not_finite_is_an_error_that_names_it(
    learners: dict[str, Learner], pictures: MultiLabelImages
) -> None:
    with torch.no_grad():
        next(learners["tai_dpt"].parameters())[0, 0] = torch.nan
    with pytest.raises(UserError, match=r"tai_dpt \(global\): the score of image 0\.png, class 'cat' is nan"):
        score_images(learners, pictures)


def test_other_class_names_are_refused(learners: dict[str, Learner], pictures: MultiLabelImages) -> None:
    learners["centred"].set_classes(("cat", "tree", "red bus"))
    with pytest.raises(UserError, match="centred: the learner's class names are not those of labels"):
        score_images(learners, pictures)


def test_two_backbones_are_refused(
    learners: dict[str, Learner], pictures: MultiLabelImages, backbone: Backbone
) -> None:
    learners["other"] = create_learner("zero_shot", copy(backbone), CLASSES)
    with pytest.raises(UserError, match="share one backbone"):
        score_images(learners, pictures)


@pytest.mark.parametrize(("options", "message"), [({"batch_size": 0}, "batch size 0"), ({"workers": -1}, "-1 workers")])
def test_impossible_loading_is_refused(
    learners: dict[str, Learner], pictures: MultiLabelImages, options: dict[str, int], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        score_images(learners, pictures, **options)


def test_no_learner_is_refused(pictures: MultiLabelImages) -> None:
    with pytest.raises(UserError, match="no learner"):
        score_images({}, pictures)


def test_backbone_without_transform_is_refused(pictures: MultiLabelImages, tiny_rn_backbone: Backbone) -> None:
    learner = create_learner("zero_shot", tiny_rn_backbone, CLASSES)
    with pytest.raises(UserError, match="has no image transform"):
        score_images({"plain": learner}, pictures)

"""Two classes of one name, told apart by a synset that prompts do not say: ImageNet has two such pairs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch

from clipprompt.backbone import Backbone
from clipprompt.datasets._checks import plain_name
from clipprompt.errors import UserError
from clipprompt.learners import (
    Learner,
    check_classnames,
    create_learner,
    learner_options,
    list_learners,
    load_learner,
    with_classes,
)
from tests.conftest import Golden, assert_close
from tests.learners._names import OF_TEXTS

NAMES = ["tench", "missile", "stove", "missile [n04008634]"]
SPECIFIC = [name for name in list_learners() if "class_specific" in learner_options(name).model_fields]


def _create(name: str, backbone: Backbone, classnames: list[str] = NAMES, **options: Any) -> Learner:
    depths = {key: 2 for key in learner_options(name).model_fields if key.startswith("depth")}
    return create_learner(name, backbone, classnames, **{**depths, **options})


def test_clips_own_class_names_have_two_pairs() -> None:
    names = [plain_name(name) for name in open_clip.IMAGENET_CLASSNAMES]
    assert sorted({name for name in names if names.count(name) > 1}) == ["missile", "sunglasses"]
    assert [i for i, name in enumerate(names) if names.count(name) > 1] == [657, 744, 836, 837]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("missile [n04008634]", "missile"),
        ("kite_(bird of prey) [n01608432]", "kite (bird of prey)"),
        ("[n04008634]", "[n04008634]"),
        ("missile [n0400863]", "missile [n0400863]"),
        ("missile[n04008634]", "missile[n04008634]"),
        ("missile [n04008634] [2]", "missile [n04008634] [2]"),
    ],
)
def test_only_a_synset_at_the_end_is_not_said(name: str, said: str) -> None:
    assert check_classnames([name]) == [said]


@pytest.mark.parametrize("name", OF_TEXTS)
def test_both_classes_of_a_name_have_one_prompt(tiny_vit_backbone: Backbone, inputs: Golden, name: str) -> None:
    learner = _create(name, tiny_vit_backbone)
    with torch.no_grad():
        text, logits = learner.text_features(), learner(inputs["images_vit"])
        assert_close(text[..., 3, :], text[..., 1, :], 1e-5)
        assert_close(logits[:, 3], logits[:, 1], 1e-4)
        alone = _create(name, tiny_vit_backbone, NAMES[:3])
        assert_close(text[..., :3, :], alone.text_features(), 1e-5)
    assert learner.classnames == tuple(NAMES)
    assert learner.first_of_same_prompt == [0, 1, 2, 1]


@pytest.mark.parametrize("name", OF_TEXTS)
def test_other_classes_are_their_own_first(tiny_vit_backbone: Backbone, name: str) -> None:
    learner = _create(name, tiny_vit_backbone)
    learner.set_classes(["missile [n04008634]", "tench", "stove"])
    assert learner.first_of_same_prompt == [0, 1, 2]


@pytest.mark.parametrize("pair", [["missile", "missile"], ["missile [n04008634]", "Missile [n04008634]"]])
def test_a_name_that_is_given_twice_is_refused_all_the_same(tiny_vit_backbone: Backbone, pair: list[str]) -> None:
    with pytest.raises(UserError, match="is given twice"):
        _create("coop", tiny_vit_backbone, pair)


@pytest.mark.parametrize("name", SPECIFIC)
def test_contexts_of_ones_own_tell_both_apart(tiny_vit_backbone: Backbone, tmp_path: Path, name: str) -> None:
    learner = _create(name, tiny_vit_backbone, class_specific=True)
    assert learner.first_of_same_prompt == [0, 1, 2, 3]
    learner.set_classes(NAMES)
    learner.save(tmp_path)
    again = load_learner(tmp_path, tiny_vit_backbone)
    assert again.classnames == tuple(NAMES)
    own = with_classes(again, ["missile [n04008634]", "tench"])
    for key, value in own.state_dict().items():
        rows = learner.state_dict()[key]
        assert torch.equal(value, rows[[3, 0]] if rows.dim() == 3 else rows)

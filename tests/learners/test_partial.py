"""The last blocks of the image tower learnt."""

from __future__ import annotations

import pytest
import torch

from clipprompt.backbone import Backbone
from clipprompt.errors import UserError
from clipprompt.learners import create_learner
from tests.conftest import Golden, assert_close

NAMES = ["cat", "dog", "horse"]


def test_the_last_block_and_the_final_norm_are_learnt(tiny_vit_backbone: Backbone) -> None:
    learner = create_learner("partial", tiny_vit_backbone, NAMES)
    assert {name.rpartition("/")[0].partition("/resblocks/")[2].partition("/")[0] for name in learner.weights} == {
        "2",
        "",
    }
    assert {name for name in learner.weights if "resblocks" not in name} == {"ln_post/weight", "ln_post/bias"}
    assert learner.frozen_part == "before-2"


@pytest.mark.parametrize("n_blocks", [1, 2, "all"])
def test_gradients_are_those_of_full_tuning(tiny_backbone: Backbone, inputs: Golden, n_blocks: int | str) -> None:
    n_blocks = len(tiny_backbone.vision.block_names) if isinstance(n_blocks, str) else n_blocks
    images = inputs["images_vit" if tiny_backbone.image_size == 64 else "images_rn"][:3]
    partial = create_learner("partial", tiny_backbone, NAMES, seed=1, n_blocks=n_blocks)
    full = create_learner("full", tiny_backbone, NAMES, seed=1)
    assert set(partial.weights) < set(full.weights)
    for learner in (partial, full):
        learner.loss(images, torch.tensor([0, 1, 2])).backward()
    for name, parameter in partial.weights.items():
        assert_close(parameter.grad, full.weights[name].grad, 1e-5)


def test_more_blocks_than_there_are_get_one_line(tiny_vit_backbone: Backbone) -> None:
    with pytest.raises(UserError, match=r"n_blocks 4 is too large: the image tower .* has 3 blocks") as error:
        create_learner("partial", tiny_vit_backbone, NAMES, n_blocks=4)
    assert "\n" not in str(error.value)

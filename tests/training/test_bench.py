from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from open_clip.transform import image_transform
from torch import nn
from torch.nn import functional as F

from clipprompt.backbone import Backbone, ImageTransform
from clipprompt.errors import UserError
from clipprompt.learners import create_learner
from tests.training._worker import write_photos
from tools.bench import _plain_tuning, visual_tuning
from tools.bench._measure import count_held


@pytest.fixture
def backbone(tiny_vit_backbone: Backbone, monkeypatch: pytest.MonkeyPatch) -> Backbone:
    monkeypatch.setattr(tiny_vit_backbone, "preprocess", ImageTransform(image_transform(64, is_train=False)))
    monkeypatch.setattr(visual_tuning, "load_backbone", lambda *_, **__: tiny_vit_backbone)
    monkeypatch.setattr(visual_tuning, "N_PHOTOS", 3)
    monkeypatch.setattr(torch, "set_num_threads", lambda _: None)
    return tiny_vit_backbone


def test_the_bare_tower_is_the_learners_with_no_prompt_of_its_own(backbone: Backbone) -> None:
    learner = create_learner("linear", backbone, ["a", "b"])
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    visual: Any = backbone.vision.module
    states = _plain_tuning._embed(visual, images)
    for block in visual.transformer.resblocks:
        states = _plain_tuning._run(block, states)
    torch.testing.assert_close(visual.ln_post(states)[:, 0], learner.encode_images(images).values, rtol=0, atol=1e-5)


@pytest.mark.parametrize(("name", "method", "options", "n_blocks"), visual_tuning.EPOCHS)
def test_an_epoch_after_the_first_reads_no_picture(
    name: str,
    method: str,
    options: dict[str, Any],
    n_blocks: int,
    backbone: Backbone,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    photos = sorted(write_photos(tmp_path / "photos", ["cat"], 3).rglob("*.jpg"))
    monkeypatch.setattr(visual_tuning, "find_photos", lambda _: (photos, "noise"))
    plain, ours = visual_tuning.make_epochs(method, options, n_blocks, tmp_path)
    plain()
    for photo in photos:
        photo.unlink()
    ours()
    with pytest.raises(UserError, match=r"cat/0\.jpg"):
        plain()


@pytest.mark.parametrize("n_ctx", [1, 3])
def test_both_sides_take_a_step_with_as_many_tokens(n_ctx: int, backbone: Backbone) -> None:
    for step in visual_tuning.make_steps(n_ctx):
        step()


def test_what_a_step_holds_is_what_was_computed_for_it() -> None:
    layer, x = nn.Linear(5, 3), torch.randn(2, 5)
    found = count_held(lambda: F.relu(layer(x)).sum(), list(layer.parameters()), [x, *layer.parameters()])
    assert (found.gradients, found.activations) == (4 * (5 * 3 + 3), 4 * 2 * 3)

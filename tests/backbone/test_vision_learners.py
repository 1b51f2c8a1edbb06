"""Every learner on image towers of every kind: it learns, or says in one line why it cannot."""

from __future__ import annotations

import open_clip
import pytest
import torch
from open_clip.model import CLIPTextCfg, CLIPVisionCfg, CustomTextCLIP

from clipprompt import create_learner
from clipprompt.backbone import Backbone
from clipprompt.backbone._vision_towers import wrap_vision_tower
from clipprompt.errors import UserError
from clipprompt.learners import DenseLearner, Learner, learner_options, list_learners
from tests.backbone.reduced import reduced_visual


@pytest.fixture(
    scope="module", params=["ViT-B-16-SigLIP", "EVA02-B-16", "PE-Core-B-16", "convnext_base", "MobileCLIP2-S0", "coca"]
)
def backbone(request: pytest.FixtureRequest) -> Backbone:
    visual = reduced_visual(request.param)
    vision = CLIPVisionCfg(layers=1, width=32, head_width=32, patch_size=32, image_size=32)
    text = CLIPTextCfg(width=64, heads=2, layers=3)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        model = CustomTextCLIP(wrap_vision_tower(visual).embed_dim, vision, text)
    model.visual = visual
    return Backbone.from_open_clip(model, open_clip.SimpleTokenizer(), name=request.param)


def _create(name: str, backbone: Backbone) -> Learner | str:
    options = {key: 2 for key in learner_options(name).model_fields if key.startswith("depth")}
    try:
        return create_learner(name, backbone, ["cat", "dog", "hot dog"], **options)
    except UserError as error:
        return str(error)


@pytest.mark.parametrize("name", list_learners())
def test_learners_work_on_every_kind_of_tower_or_say_why_not(backbone: Backbone, name: str) -> None:
    learner = _create(name, backbone)
    if isinstance(learner, str):
        assert backbone.vision.n_layers == 0
        assert "needs a transformer image tower" in learner
        return
    images = torch.randn(2, 3, *backbone.model.visual.image_size, generator=torch.Generator().manual_seed(1))
    logits = learner(images)
    assert logits.shape == (2, 3)
    assert torch.isfinite(logits).all()
    if isinstance(learner, DenseLearner):
        grid = backbone.vision.trunk(images).grid
        assert learner.local_logits_map(learner.encode_images(images)).shape == (2, grid[0] * grid[1], 3)
    if logits.requires_grad:
        logits[:, 0].sum().backward()
        assert any(p.grad is not None and p.grad.abs().max() > 0 for p in learner.parameters())
        assert all(p.grad is None for p in backbone.model.parameters())

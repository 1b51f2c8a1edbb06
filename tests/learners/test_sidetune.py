"""A side network beside the frozen tower."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import open_clip
import pytest
import torch
from open_clip.model import CLIP, CLIPTextCfg, CLIPVisionCfg
from safetensors.torch import save_file
from torch.nn import functional as F

from clipprompt.backbone import Backbone
from clipprompt.errors import UserError
from clipprompt.learners import create_learner
from clipprompt.learners._side_network import make_side
from tests.conftest import Golden, assert_close

NAMES = ["cat", "dog", "horse"]


@pytest.mark.parametrize(("blend", "share"), [(30.0, 1.0), (0.0, 0.5), (-30.0, 0.0)])
def test_the_feature_is_a_blend(tiny_vit_backbone: Backbone, inputs: Golden, blend: float, share: float) -> None:
    learner = create_learner("sidetune", tiny_vit_backbone, NAMES)
    images, own = inputs["images_vit"], dict(learner.named_parameters())
    with torch.no_grad():
        own["blend"].fill_(blend)
        base = create_learner("linear", tiny_vit_backbone, NAMES).encode_images(images)[0]
        side = F.adaptive_avg_pool2d(learner.side(images), 6).flatten(1) @ own["projection.weight"].T
        assert_close(learner.encode_images(images)[0], share * base + (1 - share) * side, 1e-5)


def test_the_side_network_is_torchvisions_alexnet() -> None:
    side = make_side(None, torch.Generator().manual_seed(0))
    assert sum(parameter.numel() for parameter in side.parameters()) == 2_469_696  # its convolutions, in the paper
    again = make_side(None, torch.Generator().manual_seed(0))
    assert all(torch.equal(a, b) for a, b in zip(side.state_dict().values(), again.state_dict().values(), strict=True))


@pytest.mark.parametrize("ending", ["pth", "safetensors"])
def test_the_side_network_starts_from_a_file(
    tiny_vit_backbone: Backbone, inputs: Golden, tmp_path: Path, ending: str
) -> None:
    file = tmp_path / f"alexnet.{ending}"
    weights = {f"features.{key}": value for key, value in make_side(None, torch.Generator()).state_dict().items()}
    weights["classifier.6.bias"] = torch.zeros(1000)  # is left unread
    (torch.save if ending == "pth" else save_file)(weights, file)
    learner = create_learner("sidetune", tiny_vit_backbone, NAMES, side_weights=str(file))
    assert torch.equal(learner.side[0].weight, weights["features.0.weight"])
    learner.save(tmp_path / "prompt")
    file.unlink()  # a saved prompt needs it no more
    description = json.loads((tmp_path / "prompt" / "prompt.json").read_text())
    assert description["options"]["side_weights"] is None


def _write(path: Path, kind: str) -> None:
    if kind == "another network":
        torch.save({"features.0.weight": torch.zeros(3)}, path)
    elif kind == "no state dict":
        torch.save([1, 2], path)
    elif kind == "code":
        path.write_bytes(pickle.dumps(make_side, protocol=2))
    elif kind == "text":
        path.write_text("root:x:0")
    elif kind == "other text":
        path.write_text("hello")
    elif kind == "empty":
        path.touch()


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("missing", "side_weights=.*alexnet.pth cannot be read"),
        ("text", "side_weights=.*alexnet.pth cannot be read: it is no file of torch's tensors"),
        ("other text", "side_weights=.*alexnet.pth cannot be read: it is no file of torch's tensors"),
        ("empty", "side_weights=.*alexnet.pth cannot be read: it is no file of torch's tensors"),
        ("code", "side_weights=.*alexnet.pth cannot be read: it is no file of torch's tensors"),
        ("another network", "holds no AlexNet"),
        ("no state dict", "holds no state dict"),
    ],
)
def test_bad_side_weights_get_one_line(tiny_vit_backbone: Backbone, tmp_path: Path, kind: str, message: str) -> None:
    _write(tmp_path / "alexnet.pth", kind)
    with pytest.raises(UserError, match=message) as error:
        create_learner("sidetune", tiny_vit_backbone, NAMES, side_weights=str(tmp_path / "alexnet.pth"))
    assert "\n" not in str(error.value)


def test_pictures_too_small_for_alexnet_get_one_line() -> None:
    vision = CLIPVisionCfg(layers=1, width=64, patch_size=16, image_size=48)
    model = CLIP(16, vision, CLIPTextCfg(width=64, heads=1, layers=1))
    backbone = Backbone.from_open_clip(model, open_clip.SimpleTokenizer(), name="small")
    with pytest.raises(UserError, match="needs pictures of 63 x 63 pixels, and small takes 48 x 48"):
        create_learner("sidetune", backbone, NAMES)

from __future__ import annotations

import json
from pathlib import Path

import open_clip
import pytest
import torch
from safetensors.torch import load_file
from torchmetrics.functional.classification import multilabel_average_precision

from clipprompt.backbone import Backbone, load_backbone
from clipprompt.errors import UserError
from clipprompt.learners import create_learner, load_learner
from clipprompt.mini import ASSETS, VIT_ASSETS
from clipprompt.mini.render import render_scene
from clipprompt.mini.scenes import VOC_CLASSES, scene_split
from tests.conftest import assert_close
from tools import pretrain_mini_vit


@pytest.fixture(scope="module")
def backbone() -> Backbone:
    return load_backbone("mini-vit", device="cpu")


def _pictures(backbone: Backbone, n: int) -> torch.Tensor:
    assert backbone.preprocess is not None
    return torch.stack([backbone.preprocess(render_scene(scene)) for scene in scene_split("val", n)])


def test_the_folder_holds_the_image_tower_alone() -> None:
    assert {path.name for path in VIT_ASSETS.iterdir()} == {
        "figures.json",
        "open_clip_config.json",
        "vision.safetensors",
    }
    weights = load_file(VIT_ASSETS / "vision.safetensors")
    assert all(name.startswith("visual.") for name in weights)
    assert {value.dtype for value in weights.values()} == {torch.float16}
    assert (VIT_ASSETS / "vision.safetensors").stat().st_size < 2 * 2**20


def test_all_but_the_image_tower_is_minis_bit_for_bit(backbone: Backbone) -> None:
    assert isinstance(backbone.model, open_clip.model.CLIP)
    mini = load_file(ASSETS / "open_clip_model.safetensors")
    rest = {name: value for name, value in backbone.model.state_dict().items() if not name.startswith("visual.")}
    assert rest.keys() == {name for name in mini if not name.startswith("visual.")}
    assert all(torch.equal(value, mini[name].float()) for name, value in rest.items())
    tokens = backbone.tokenize(["a cat", "two dogs near a couch"])
    assert torch.equal(backbone.encode_text(tokens), load_backbone("mini", device="cpu").encode_text(tokens))


def test_figures_are_of_the_shipped_configuration() -> None:
    figures = json.loads((VIT_ASSETS / "figures.json").read_text(encoding="utf-8"))
    config = json.loads(pretrain_mini_vit.CONFIG.read_text(encoding="utf-8"))
    assert (figures["seed"], figures["steps"], figures["of_steps"]) == (config["seed"], *[config["steps"]] * 2)
    written = json.loads((VIT_ASSETS / "open_clip_config.json").read_text(encoding="utf-8"))
    mini = json.loads((ASSETS / "open_clip_config.json").read_text(encoding="utf-8"))
    assert written["preprocess_cfg"] == config["preprocess_cfg"]
    assert written["model_cfg"] == {**mini["model_cfg"], "vision_cfg": config["vision_cfg"]}


@torch.no_grad()
def test_zero_shot_is_far_above_chance(backbone: Backbone) -> None:
    images = torch.nn.functional.normalize(backbone.encode_image(_pictures(backbone, 400)), dim=-1)
    texts = backbone.encode_text(backbone.tokenize([f"a photo of a {name}." for name in VOC_CLASSES]))
    labels = torch.tensor([scene.labels() for scene in scene_split("val", 400)])
    score = float(multilabel_average_precision(images @ texts.T, labels, num_labels=20))
    figures = json.loads((VIT_ASSETS / "figures.json").read_text(encoding="utf-8"))
    assert score > 4 * float(labels.float().mean())
    assert score == pytest.approx(figures["zero_shot_map_val"], abs=0.06)


def test_another_size_and_a_lower_precision_stay_near(backbone: Backbone) -> None:
    images = _pictures(backbone, 4)
    coarse = load_backbone("mini-vit", device="cpu", precision="bf16")
    assert (coarse.precision, coarse.image_size) == ("bf16", backbone.image_size)
    assert_close(coarse.encode_image(images), backbone.encode_image(images), 0.05)
    large = load_backbone("mini-vit", device="cpu", image_size=96)
    pictures = _pictures(large, 4)
    assert pictures.shape == (4, 3, 96, 96)
    similar = torch.cosine_similarity(large.encode_image(pictures), backbone.encode_image(images))
    assert (similar > 0.5).all()


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("mini-vit", {"image_size": 100}, "100 is not a multiple of 8"),
        ("mini-vit", {"pretrained": "openai"}, "brings its own weights"),
        ("mini-vti", {}, "did you mean 'mini-vit'"),
    ],
)
def test_bad_requests_get_one_line(name: str, options: dict[str, str], message: str) -> None:
    with pytest.raises(UserError, match=message) as error:
        load_backbone(name, device="cpu", **options)  # type: ignore[arg-type]
    assert "\n" not in str(error.value)


def test_it_is_told_from_mini_and_is_the_same_each_time(backbone: Backbone) -> None:
    assert backbone.fingerprint() == load_backbone("mini-vit", device="cpu", seed=1).fingerprint()
    assert backbone.fingerprint() != load_backbone("mini", device="cpu").fingerprint()


def test_visual_prompts_come_back_on_it(backbone: Backbone, tmp_path: Path) -> None:
    learner = create_learner("maple", backbone, ["cat", "dog"], depth=3)
    learner.save(tmp_path)
    again = load_learner(tmp_path)
    assert again.backbone.name == "mini-vit"
    images = _pictures(backbone, 2)
    with torch.no_grad():
        assert_close(again(images), learner(images), 1e-6)

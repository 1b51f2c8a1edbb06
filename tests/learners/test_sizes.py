"""What a task costs beside its backbone, at ViT-B/16 as published: counted without memory for weights."""

from __future__ import annotations

import pytest
from open_clip.factory import get_model_config

from clipprompt.backbone import Backbone
from clipprompt.backbone.capabilities import _build, _tokenizer
from clipprompt.config import load_config
from clipprompt.learners import Learner, create_learner, list_learners
from clipprompt.mini.scenes import VOC_CLASSES

# They learn whole layers, or keep what they have seen.
LARGE = ["mlp", "partial", "full", "sidetune", "tip_adapter"]
# Its coupling is a matrix for each layer, as published: 3.6 million numbers, 2.4 % of CLIP.
MATRICES = ["maple"]
NOTHING = ["zero_shot"]
SMALL = [name for name in list_learners() if name not in (*LARGE, *MATRICES, *NOTHING)]


@pytest.fixture(scope="module")
def vit_b_16() -> Backbone:
    config = get_model_config("ViT-B-16")
    assert config is not None
    return Backbone.from_open_clip(_build("ViT-B-16", {}), _tokenizer(config["text_cfg"]), name="ViT-B-16")


@pytest.fixture
def n_parameters(vit_b_16: Backbone, monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """Of methods with the settings that they come with, for twenty classes."""
    monkeypatch.setattr(Learner, "set_classes", lambda self, classnames: None)  # no text can be encoded without memory

    class Counts(dict[str, int]):
        def __missing__(self, name: str) -> int:
            return create_learner(name, vit_b_16, VOC_CLASSES, **load_config(name).learner).n_parameters

    return Counts()


def test_the_backbone_is_the_published_one(vit_b_16: Backbone) -> None:
    assert (vit_b_16.n_parameters, vit_b_16.n_image_parameters) == (149_620_737, 86_192_640)


@pytest.mark.parametrize("name", SMALL)
def test_a_prompt_an_adapter_biases_and_lora_are_under_a_hundredth_of_the_image_tower(
    vit_b_16: Backbone, n_parameters: dict[str, int], name: str
) -> None:
    assert 0 < n_parameters[name] < vit_b_16.n_image_parameters / 100


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("linear", 768 * 20 + 20),
        ("mlp", 2 * (768 * 768 + 768) + 768 * 20 + 20),
        ("partial", 12 * 768 * 768 + 13 * 768 + 2 * 768 + 768 * 20 + 20),
        ("bias", 12 * 11 * 768 + 2 * 768 + 768 * 20 + 20),
        ("sidetune", 2_469_696 + 9216 * 768 + 1 + 768 * 20 + 20),
    ],
)
def test_heads_have_as_many_numbers_as_their_layers(n_parameters: dict[str, int], name: str, expected: int) -> None:
    assert n_parameters[name] == expected


def test_full_tuning_leaves_the_projection_out(vit_b_16: Backbone, n_parameters: dict[str, int]) -> None:
    projection = 768 * 512
    assert n_parameters["full"] == vit_b_16.n_image_parameters - projection + 768 * 20 + 20

from __future__ import annotations

import json
from typing import Any

import open_clip
import pytest
import torch
from safetensors import safe_open
from torchmetrics.functional.classification import multilabel_average_precision

from clipprompt.mini import ASSETS
from clipprompt.mini.render import render_scene
from clipprompt.mini.scenes import VOC_CLASSES, scene_split
from tools import pretrain_mini

MEBIBYTE = 2**20


@pytest.fixture(scope="module")
def loaded() -> tuple[Any, Any, Any]:
    """Model, preprocess and tokenizer as open_clip itself reads them from the folder."""
    model, _, preprocess = open_clip.create_model_and_transforms(f"local-dir:{ASSETS}")
    return model.eval(), preprocess, open_clip.get_tokenizer(f"local-dir:{ASSETS}")


def test_assets_are_small_enough_for_the_wheel() -> None:
    assert sum(path.stat().st_size for path in ASSETS.rglob("*") if path.is_file()) <= 20 * MEBIBYTE


def test_weights_are_float16_on_disk() -> None:
    with safe_open(ASSETS / "open_clip_model.safetensors", "pt") as file:
        kinds = {file.get_tensor(key).dtype for key in file.keys()}  # noqa: SIM118
    assert kinds == {torch.float16, torch.int64}


def test_open_clip_reads_the_folder(loaded: tuple[Any, Any, Any]) -> None:
    model, preprocess, tokenizer = loaded
    assert isinstance(model, open_clip.model.CLIP)
    assert model.token_embedding.num_embeddings == 49408
    assert tokenizer(["a cat"]).shape == (1, 77)
    assert preprocess(render_scene(scene_split("val", 1)[0])).shape == (3, 128, 128)
    assert all(torch.isfinite(parameter).all() for parameter in model.parameters())


def test_figures_are_of_the_shipped_configuration() -> None:
    figures = json.loads((ASSETS / "figures.json").read_text(encoding="utf-8"))
    config = json.loads(pretrain_mini.CONFIG.read_text(encoding="utf-8"))
    assert (figures["seed"], figures["of_steps"]) == (config["seed"], config["steps"])
    written = json.loads((ASSETS / "open_clip_config.json").read_text(encoding="utf-8"))
    assert written == {key: config[key] for key in ("model_cfg", "preprocess_cfg")}


@torch.no_grad()
def test_zero_shot_is_far_above_chance(loaded: tuple[Any, Any, Any]) -> None:
    model, preprocess, tokenizer = loaded
    scenes = scene_split("val", 400)
    labels = torch.tensor([scene.labels() for scene in scenes])
    images = model.encode_image(torch.stack([preprocess(render_scene(scene)) for scene in scenes]), normalize=True)
    texts = model.encode_text(tokenizer([f"a photo of a {name}." for name in VOC_CLASSES]), normalize=True)
    score = float(multilabel_average_precision(images @ texts.T, labels, num_labels=20))
    figures = json.loads((ASSETS / "figures.json").read_text(encoding="utf-8"))
    chance = float(labels.float().mean())
    assert score > 4 * chance
    assert score == pytest.approx(figures["zero_shot_map_val"], abs=0.06)


@torch.no_grad()
@pytest.mark.parametrize("noise", ["of xylograph", "quizzical hedgerow", "zanzibar 1987", "mmmh"])
def test_words_never_seen_do_not_hide_the_others(loaded: tuple[Any, Any, Any], noise: str) -> None:
    model, _, tokenizer = loaded
    names = ["airplane", "bike", "boat", "bus", "cat", "cow", "dog", "sheep", "train", "couch"]
    plain = model.encode_text(tokenizer([f"a {name} in a field" for name in names]), normalize=True)
    noisy = model.encode_text(tokenizer([f"a {name} in a field {noise}" for name in names]), normalize=True)
    assert ((noisy @ plain.T).argmax(1) == torch.arange(len(names))).float().mean() >= 0.8

"""Runs of learners that put something into a tower, or keep their training pictures: cut off, gone on with, loaded."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from open_clip.transform import image_transform
from safetensors.torch import load_file
from torch.nn import functional as F

from clipprompt.backbone import Backbone, ImageTransform
from clipprompt.config import RunConfig, load_config
from clipprompt.datasets import open_image
from clipprompt.errors import UserError
from clipprompt.learners import load_learner
from clipprompt.training.loop import Session
from clipprompt.training.run import run_training
from tests.training._worker import write_photos

CLASSNAMES = ("cat", "dog", "red_bus")
Configure = Callable[..., RunConfig]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return write_photos(tmp_path / "photos", CLASSNAMES)


@pytest.fixture
def configure(photos: Path, tiny_vit_backbone: Backbone, monkeypatch: pytest.MonkeyPatch) -> Configure:
    monkeypatch.setattr(tiny_vit_backbone, "preprocess", ImageTransform(image_transform(64, is_train=False)))
    monkeypatch.setattr("clipprompt.training.run.load_backbone", lambda *_, **__: tiny_vit_backbone)

    def make(method: str, *settings: str) -> RunConfig:
        small = ["epochs=2", "batch_size=4", "warmup_epochs=0", "checkpoint_steps=1"]
        return load_config(method, [f"data.dataset={photos}", *small, *settings])

    return make


def _cut_off(monkeypatch: pytest.MonkeyPatch, config: RunConfig, folder: Path, n_steps: int) -> None:
    """Runs some steps, and then as if the process had been killed."""
    step, done = Session.step, [0]

    def counted(self: Session, *arguments: Any) -> float:
        done[0] += 1
        if done[0] > n_steps:
            raise KeyboardInterrupt
        return step(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(Session, "step", counted)
        with pytest.raises(KeyboardInterrupt):
            run_training(config, folder)


@pytest.mark.parametrize(
    ("method", "settings"),
    [
        pytest.param("clip_lora", ["learner.dropout=0.4", "learner.towers=both"], id="clip_lora with dropout"),
        pytest.param("lora", ["learner.dropout=0.4", "learner.layers=[1,2]"], id="lora with dropout"),
        pytest.param("tip_adapter", ["learner.tuned=true"], id="tip_adapter tuned"),
    ],
)
def test_a_run_that_was_cut_off_ends_bit_identical(
    method: str, settings: list[str], configure: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = configure(method, *settings)
    run_training(config, tmp_path / "whole")
    _cut_off(monkeypatch, config, tmp_path / "cut", n_steps=2)
    run_training(config, tmp_path / "cut")
    whole, cut = (load_file(tmp_path / name / "prompt.safetensors") for name in ("whole", "cut"))
    assert set(whole) == set(cut)
    assert all(torch.equal(whole[key], cut[key]) for key in whole)


def test_tip_adapter_keeps_the_pictures_without_an_epoch(
    configure: Configure, photos: Path, tmp_path: Path, tiny_vit_backbone: Backbone
) -> None:
    said: list[str] = []
    run_training(configure("tip_adapter", "epochs=0"), tmp_path / "run", said.append)
    assert said[-1] == f"Done: the training pictures, 0 steps, in {tmp_path / 'run'}"
    learner = load_learner(tmp_path / "run", tiny_vit_backbone)
    paths = sorted(photos.glob("*/*"))
    assert len(learner.state_dict()["keys"]) == len(paths) == learner.state_dict()["values"].sum()
    assert tiny_vit_backbone.preprocess is not None
    for path in paths[:3]:
        image = tiny_vit_backbone.preprocess(open_image(path))[None]
        feature = F.normalize(tiny_vit_backbone.encode_image(image), dim=-1)
        nearest = (learner.state_dict()["keys"] @ feature[0]).argmax()
        assert learner.state_dict()["keys"][nearest] @ feature[0] > 1 - 1e-3
        assert learner.state_dict()["values"][nearest, learner.classnames.index(path.parent.name)] == 1


def test_tip_adapter_refuses_captions_before_it_reads_any(configure: Configure, tmp_path: Path) -> None:
    config = load_config("tip_adapter", ["data.corpus=mini"])
    with pytest.raises(UserError, match="tip_adapter learns from images, but mini holds captions: give --dataset"):
        run_training(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()

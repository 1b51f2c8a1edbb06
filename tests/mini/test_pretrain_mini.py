from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from safetensors.torch import load_file

from clipprompt.mini.render import render_scene
from clipprompt.mini.scenes import sample_scene
from tools import pretrain_mini
from tools._mini_data import END, START, training_data, trimmed, with_random_tokens


def _small() -> dict[str, Any]:
    """The shipped configuration, shrunk until a run takes a second."""
    config: dict[str, Any] = json.loads(pretrain_mini.CONFIG.read_text(encoding="utf-8"))
    config.update(train_scenes=16, val_scenes=200, captions_per_scene=2, scene_size=16, steps=4, batch_size=8)
    config.update(warmup_steps=1, checkpoint_every=2, snapshots=[1.0])
    config["model_cfg"]["vision_cfg"].update(image_size=32, width=4)
    config["model_cfg"]["text_cfg"].update(width=16, heads=2, layers=1)
    config["model_cfg"]["embed_dim"] = 8
    config["preprocess_cfg"]["size"] = 32
    return config


@pytest.fixture
def model() -> Any:
    torch.manual_seed(0)
    return open_clip.model.CLIP(**_small()["model_cfg"]).eval()


def test_trimmed_text_equals_the_whole_context(model: Any) -> None:
    tokens = open_clip.SimpleTokenizer()(["a cat", "two dogs near a couch in a room"])
    short = torch.from_numpy(trimmed(tokens.numpy()))
    assert short.shape[1] == int((tokens > 0).sum(1).max()) < 77
    with torch.no_grad():
        whole = model.encode_text(tokens, normalize=True)
        assert torch.allclose(pretrain_mini.encode_trimmed_text(model, short), whole, atol=1e-6)


def test_training_pictures_equal_what_the_preprocess_makes(tmp_path: Path, model: Any) -> None:
    config = _small()
    pretrain_mini.write_snapshot(model, config, tmp_path, {})
    loaded = open_clip.create_model_and_transforms(f"local-dir:{tmp_path}")
    picture = render_scene(sample_scene(1), 16)
    ours = pretrain_mini.to_input(np.asarray(picture)[None], config["preprocess_cfg"])[0]
    theirs = loaded[2](picture)
    assert ours.shape == theirs.shape
    # Pillow rounds to whole grey levels after enlarging.
    assert (ours - theirs).abs().max() < 1.5 / 255 / min(config["preprocess_cfg"]["std"])


def test_random_tokens_keep_the_captions_shape() -> None:
    tokens = np.array([[START, 320, 2368, 321, END, 0, 0, 0], [START, *range(300, 306), END]])
    out = with_random_tokens(tokens, 1.0, np.random.default_rng(0))
    assert (out[:, 0] == START).all()
    assert ((out == END).sum(1) == 1).all()
    assert (out.argmax(1) + 1 == (out > 0).sum(1)).all()
    assert {320, 2368, 321} <= set(out[0].tolist())
    assert (with_random_tokens(tokens, 0.0, np.random.default_rng(0)) == tokens).all()


def test_the_learning_rate_warms_up_and_falls_to_zero() -> None:
    config = _small() | {"steps": 100, "warmup_steps": 10, "learning_rate": 1.0}
    rates = [pretrain_mini.learning_rate(step, config) for step in range(100)]
    assert rates[:10] == pytest.approx([0.1 * k for k in range(1, 11)])
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[-1] < 0.001


def test_training_data_is_drawn_once_and_is_the_same_again(tmp_path: Path) -> None:
    config = _small() | {"train_scenes": 4}
    pictures, tokens = training_data(tmp_path / "one", config, 0)
    again = training_data(tmp_path / "two", config, 0)
    assert pictures.shape == (4, 16, 16, 3)
    assert tokens.shape == (4, 2, config["token_limit"])
    assert (pictures == again[0]).all()
    assert (tokens == again[1]).all()
    assert (pictures[2] == np.asarray(render_scene(sample_scene(2), 16))).all()


class _Cut(Exception):
    """Stands for a kill."""


def test_a_run_that_was_cut_off_ends_with_the_same_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = _small()
    straight, cut = tmp_path / "straight", tmp_path / "cut"
    pretrain_mini.train(config, straight, 0)
    step = pretrain_mini.train_step
    calls = 0

    def failing(*arguments: Any) -> float:
        nonlocal calls
        calls += 1
        if calls == 4:
            raise _Cut
        return step(*arguments)

    monkeypatch.setattr(pretrain_mini, "train_step", failing)
    with pytest.raises(_Cut):
        pretrain_mini.train(config, cut, 0)
    monkeypatch.setattr(pretrain_mini, "train_step", step)
    pretrain_mini.train(config, cut, 0)
    one, two = (load_file(folder / "snapshot_100" / "open_clip_model.safetensors") for folder in (straight, cut))
    assert one.keys() == two.keys()
    assert all(torch.equal(one[key], two[key]) for key in one)


def test_steps_lower_the_loss_on_one_batch(model: Any) -> None:
    config = _small() | {"learning_rate": 0.01}
    optimizer, loss_fn = pretrain_mini.build_optimizer(model.train(), config), open_clip.ClipLoss()
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 255, (8, 16, 16, 3), dtype=np.uint8)
    images = pretrain_mini.to_input(pictures, config["preprocess_cfg"])
    tokens = torch.from_numpy(np.array([[START, 400 + k, END] for k in range(8)]))
    losses = [pretrain_mini.train_step(model, optimizer, images, tokens, loss_fn) for _ in range(12)]
    assert losses[-1] < 0.7 * losses[0]


def test_the_score_of_chance_is_low(model: Any) -> None:
    score = pretrain_mini.zero_shot_map(model, _small())
    assert 0.0 < score < 0.4

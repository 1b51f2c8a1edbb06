from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from clipprompt.mini import ASSETS
from tools import pretrain_mini_vit
from tools._mini_distillation import coarser
from tools._mini_replicas import Replicas
from tools._mini_teacher import Teacher

VISION = {"image_size": 32, "layers": 2, "width": 16, "head_width": 8, "patch_size": 8}


def _small() -> dict[str, Any]:
    """The shipped configuration, shrunk until a run takes a second."""
    config: dict[str, Any] = json.loads(pretrain_mini_vit.CONFIG.read_text(encoding="utf-8"))
    config.update(train_scenes=16, val_scenes=100, scene_size=32, steps=4, batch_size=8, places_weight=0.5)
    config.update(warmup_steps=1, checkpoint_every=2, snapshots=[1.0], vision_cfg=VISION)
    config["preprocess_cfg"]["size"] = 32
    return config


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The last snapshot of a run that nothing cut off."""
    out = tmp_path_factory.mktemp("straight")
    pretrain_mini_vit.train(_small(), out, 2)
    return out / "snapshot_000004"


class _Cut(Exception):
    """Stands for a kill."""


def test_a_run_that_was_cut_off_ends_with_the_same_weights(
    straight: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gradients, calls = Replicas.gradients, 0

    def failing(*arguments: Any) -> float:
        nonlocal calls
        calls += 1
        if calls == 4:
            raise _Cut
        return gradients(*arguments)

    monkeypatch.setattr(Replicas, "gradients", failing)
    with pytest.raises(_Cut):
        pretrain_mini_vit.train(_small(), tmp_path, 2)
    monkeypatch.setattr(Replicas, "gradients", gradients)
    pretrain_mini_vit.train(_small(), tmp_path, 2)
    one, two = (load_file(folder / "vision.safetensors") for folder in (straight, tmp_path / "snapshot_000004"))
    assert one.keys() == two.keys()
    assert all(torch.equal(one[key], two[key]) for key in one)


def test_a_snapshot_holds_the_image_tower_alone(straight: Path) -> None:
    weights = load_file(straight / "vision.safetensors")
    assert all(name.startswith("visual.") for name in weights)
    assert {value.dtype for value in weights.values()} == {torch.float16}
    config = json.loads((straight / "open_clip_config.json").read_text(encoding="utf-8"))["model_cfg"]
    mini = json.loads((ASSETS / "open_clip_config.json").read_text(encoding="utf-8"))["model_cfg"]
    assert config == {**mini, "vision_cfg": VISION}
    figures = json.loads((straight / "figures.json").read_text(encoding="utf-8"))
    assert (figures["steps"], figures["images_seen"]) == (4, 32)
    assert all(-1 <= figures[key] <= 1 for key in ("cosine_with_mini_val", "cosine_of_places_val"))


def test_the_text_tower_is_minis_and_is_not_trained() -> None:
    model = pretrain_mini_vit.build_model(_small(), Teacher())
    mini = load_file(ASSETS / "open_clip_model.safetensors")
    rest = {name: value for name, value in model.state_dict().items() if not name.startswith("visual.")}
    assert rest.keys() == {name for name in mini if not name.startswith("visual.")}
    assert all(torch.equal(value, mini[name].to(value.dtype)) for name, value in rest.items())
    trained = {
        id(p)
        for optimizer in pretrain_mini_vit.build_optimizers(model.visual, _small())
        for group in optimizer.param_groups
        for p in group["params"]
    }
    assert trained == {id(p) for p in model.visual.parameters()}


def test_every_row_comes_once_an_epoch_and_each_step_has_its_own() -> None:
    config = _small() | {"train_scenes": 20}
    first = np.concatenate([pretrain_mini_vit.rows_of(step, config) for step in range(2)])
    assert len(set(first.tolist())) == len(first) == 16
    assert (pretrain_mini_vit.rows_of(1, config) == first[8:]).all()
    assert not (pretrain_mini_vit.rows_of(2, config) == first[:8]).all()


def test_the_learning_rate_warms_up_stays_and_falls_to_zero() -> None:
    config = _small() | {"steps": 100, "warmup_steps": 10, "decay_part": 0.4}
    factors = [pretrain_mini_vit.learning_rate_factor(step, config) for step in range(101)]
    assert factors[:10] == pytest.approx([0.1 * k for k in range(1, 11)])
    assert factors[10:61] == [1.0] * 51
    assert factors[60:] == pytest.approx([k / 40 for k in range(40, -1, -1)])


def test_coarser_places_are_means_of_blocks() -> None:
    places = torch.arange(16.0).reshape(1, 16, 1) * torch.tensor([1.0, 0.0]) + torch.tensor([0.0, 1.0])
    coarse = coarser(places, (4, 4), 2)
    expected = torch.tensor([[2.5, 1.0], [4.5, 1.0], [10.5, 1.0], [12.5, 1.0]])
    assert torch.allclose(coarse[0], nn.functional.normalize(expected, dim=-1))


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_threads_give_the_gradients_of_the_whole_batch(threads: int) -> None:
    generator = torch.Generator().manual_seed(0)
    data = torch.randn(10, 4, generator=generator)
    module = nn.Linear(4, 3)

    def loss(part: nn.Module, rows: Any) -> Tensor:
        squared: Tensor = part(data[rows]).square().mean()
        return squared

    rows = np.array([0, 2, 3, 5, 7, 8, 9])
    whole = loss(module, rows)
    expected = torch.autograd.grad(whole, list(module.parameters()))
    replicas = Replicas(module, threads)
    for _ in range(2):  # a second call starts from nothing
        assert replicas.gradients(loss, rows) == pytest.approx(float(whole.detach()), rel=1e-5)
        for parameter, gradient in zip(module.parameters(), expected, strict=True):
            assert torch.allclose(parameter.grad, gradient, atol=1e-6)  # type: ignore[arg-type]


def test_copies_see_each_step() -> None:
    module = nn.Linear(2, 1, bias=False)
    replicas = Replicas(module, 2)
    seen: list[float] = []

    def loss(part: nn.Module, rows: Any) -> Tensor:
        weight: Tensor = next(part.parameters())
        seen.append(float(weight.detach().sum()))
        return weight.sum()

    with torch.no_grad():
        module.weight.fill_(3.0)
    replicas.gradients(loss, np.arange(4))
    assert seen == [6.0, 6.0]

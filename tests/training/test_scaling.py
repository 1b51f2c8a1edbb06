"""Loss scaling, on the CPU: towers that say they are float16, and gradients that overflow when told to."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from pathlib import Path
from types import MethodType
from typing import Any

import pytest
import torch

from clipprompt.backbone import Backbone
from clipprompt.config import DataConfig
from clipprompt.errors import UserError
from clipprompt.learners import Learner, create_learner
from clipprompt.training._scaling import SMALLEST, LossScaler
from clipprompt.training.checkpoint import load_checkpoint
from clipprompt.training.data import FeatureData, caption_data
from clipprompt.training.loop import train
from clipprompt.training.metrics_log import read_metrics
from tests.training.conftest import CAPTIONS, CLASSNAMES, CONFIG, LABELS, assert_identical, prompts

CPU = torch.device("cpu")
MakeLearner = Callable[..., Learner]


class Overflowing(torch.autograd.Function):
    """The identity, whose gradient is infinite where it would not fit into float16."""

    @staticmethod
    def forward(ctx: Any, loss: torch.Tensor, limit: float) -> torch.Tensor:
        ctx.limit = limit
        return loss.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None]:
        return torch.where(gradients[0].abs() > ctx.limit, math.inf, gradients[0]), None


def overflow_above(learner: Learner, limit: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes the learner's gradients overflow when the loss is scaled by more than ``limit``."""
    original = learner.loss_from

    def loss_from(self: Learner, features: Any, labels: torch.Tensor) -> torch.Tensor:
        loss: torch.Tensor = Overflowing.apply(original(features, labels), limit)
        return loss

    monkeypatch.setattr(learner, "loss_from", MethodType(loss_from, learner))


@pytest.fixture
def half_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    """Towers say that they compute in float16; they do in float32, so that the CPU has all kernels."""
    monkeypatch.setattr(Backbone, "precision", "fp16")


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_types_with_the_range_of_float32_are_not_scaled(precision: str) -> None:
    scaler = LossScaler(precision, CPU)
    value = torch.ones(2, requires_grad=True)
    scaler.backward(value.sum())
    assert not scaler.is_on
    assert scaler.state == (1.0, 0)
    assert torch.equal(value.grad, torch.ones(2))


def test_gradients_are_scaled_up_in_the_backward_pass_and_down_before_the_step() -> None:
    scaler, value = LossScaler("fp16", CPU), torch.nn.Parameter(torch.zeros(2))
    scaler.backward((3 * value).sum())
    assert value.grad is not None
    assert value.grad.tolist() == [3 * 65536.0] * 2
    assert scaler.step(torch.optim.SGD([value], lr=1.0))
    assert value.tolist() == [-3.0, -3.0]


@pytest.mark.usefixtures("half_precision")
def test_a_scale_changes_no_bit_where_nothing_overflows(
    make_learner: MakeLearner, data: FeatureData, monkeypatch: pytest.MonkeyPatch
) -> None:
    scaled, plain = make_learner(), make_learner()
    train(scaled, data, CONFIG)
    monkeypatch.setattr(Backbone, "precision", "fp32")
    train(plain, data, CONFIG)
    assert_identical(prompts(scaled), prompts(plain))


@pytest.mark.usefixtures("half_precision")
def test_steps_that_overflow_are_skipped_and_the_scale_is_halved(
    make_learner: MakeLearner, data: FeatureData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    learner = make_learner()
    start = prompts(learner)
    overflow_above(learner, 65536.0 / 2**4, monkeypatch)
    train(learner, data, CONFIG.model_copy(update={"epochs": 2, "log_steps": 1}), folder=tmp_path)
    assert_identical(start, prompts(learner))  # four steps, all skipped
    assert load_checkpoint(tmp_path / "checkpoints" / "last.safetensors").position.loss_scale == 65536.0 / 2**4
    train(learner, data, CONFIG.model_copy(update={"epochs": 3}), folder=tmp_path)
    assert not torch.equal(start["ctx"], learner.ctx)
    assert [line["loss_scale"] for line in read_metrics(tmp_path / "metrics.jsonl") if "epoch" in line][-1] == 4096.0


@pytest.mark.usefixtures("half_precision")
@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_a_run_gone_on_with_has_the_scale_that_it_was_cut_off_with(
    optimizer: str, make_learner: MakeLearner, data: FeatureData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = CONFIG.model_copy(update={"optimizer": optimizer})
    whole, cut, resumed = make_learner(), make_learner(), make_learner(seed=77)
    for learner in (whole, cut, resumed):
        overflow_above(learner, 65536.0 / 2**3, monkeypatch)
    train(whole, data, config)
    train(cut, data, config.model_copy(update={"epochs": 1}), folder=tmp_path)
    found = load_checkpoint(tmp_path / "checkpoints" / "last.safetensors").position
    assert (found.loss_scale, found.good_steps) == (65536.0 / 2**2, 0)
    train(resumed, data, config, folder=tmp_path)
    assert_identical(prompts(whole), prompts(resumed))


@pytest.mark.usefixtures("half_precision")
def test_gradients_that_overflow_at_any_scale_end_the_run(
    learner: Learner, data: FeatureData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    overflow_above(learner, 0.0, monkeypatch)
    with pytest.raises(UserError, match=r"gradients are not finite, .* at step 33 .*the last good checkpoint is"):
        train(learner, data, CONFIG.model_copy(update={"epochs": 30}), folder=tmp_path)
    assert load_checkpoint(tmp_path / "checkpoints" / "last.safetensors").position.loss_scale == SMALLEST
    assert SMALLEST == 65536.0 / 2**32


def test_real_float16_towers_train_float32_prompts(tiny_rn_backbone: Backbone) -> None:
    model = copy.deepcopy(tiny_rn_backbone.model).half()
    backbone = Backbone.from_open_clip(model, tiny_rn_backbone.tokenizer)
    learner = create_learner("tai_dpt", backbone, CLASSNAMES, n_ctx=2, seed=3)
    data = caption_data(learner, CAPTIONS, LABELS, DataConfig())
    result = train(learner, data, CONFIG)
    assert result.losses[-1] < result.losses[0]
    assert learner.ctx.dtype == torch.float32

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from clipprompt.config import TrainConfig
from clipprompt.training.schedule import learning_rate

CASES = {
    "cosine_lr0.002_ep50_warm1const": TrainConfig(lr=0.002, epochs=50),
    "cosine_lr0.002_ep200_warm1const": TrainConfig(lr=0.002, epochs=200),
    "cosine_lr0.0035_ep5_warm1const": TrainConfig(lr=0.0035, epochs=5),
    "cosine_lr0.0001_ep20_warm1const": TrainConfig(lr=0.0001, epochs=20),
    "cosine_lr0.002_ep10_nowarm": TrainConfig(lr=0.002, epochs=10, warmup_epochs=0),
    "cosine_lr0.002_ep10_warm3linear": TrainConfig(lr=0.002, epochs=10, warmup_epochs=3, warmup="linear"),
}


@pytest.mark.parametrize("name", CASES)
def test_learning_rate_is_dassls(name: str, golden: Callable[[str], dict[str, torch.Tensor]]) -> None:
    expected = golden("lr_schedule")[name].tolist()
    config = CASES[name]
    actual = [learning_rate(epoch, config) for epoch in range(config.epochs)]
    assert actual == pytest.approx(expected, rel=1e-9, abs=0)


def test_every_golden_schedule_is_covered_but_the_one_that_counts_the_warm_up_twice(
    golden: Callable[[str], dict[str, torch.Tensor]],
) -> None:
    assert set(golden("lr_schedule")) - set(CASES) == {"cosine_lr0.002_ep10_warm1const_norecount"}


def test_a_run_shorter_than_its_warm_up_has_the_warm_up_rate() -> None:
    config = TrainConfig(epochs=1, lr=0.5, warmup_lr=1e-3)
    assert learning_rate(0, config) == 1e-3


def test_a_cosine_over_the_rest_starts_at_the_full_rate_and_ends_near_zero() -> None:
    config = TrainConfig(epochs=100, lr=2.0, warmup="linear", warmup_epochs=10, cosine="rest")
    rates = [learning_rate(epoch, config) for epoch in range(100)]
    assert rates[1:11] == pytest.approx([0.2 * epoch for epoch in range(1, 11)])
    assert rates[55] == pytest.approx(1.0)
    assert 0 < rates[99] < 1e-3

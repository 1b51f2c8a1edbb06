"""Two real processes that share each batch (gloo, CPU) against one that has it all."""

from __future__ import annotations

import numpy as np
import pytest

from clipprompt.config import TrainConfig
from clipprompt.training._processes import run_in_processes
from tests.training._shared_run import Case, Trained, train_share, train_shares

# The last batch size leaves one of the processes without a sample.
CASES: dict[str, Case] = {
    "coop": ("coop", "rn", {"n_ctx": 2}),
    "cocoop": ("cocoop", "vit", {}),
    "maple": ("maple", "vit", {"depth": 2}),
    "promptsrc": ("promptsrc", "vit", {"depth_text": 2, "depth_visual": 2, "n_ctx_text": 2, "ctx_init": None}),
    "a loss that is a sum": ("dualcoop", "rn", {"n_ctx": 2}),
    "tai_dpt": ("tai_dpt", "rn", {"n_ctx": 2}),
    "a parameter without gradient": ("tai_dpt", "rn", {"n_ctx": 2, "loss": "single_ranking"}),
}
WITH_ADAMW = "with AdamW"
CASES[WITH_ADAMW] = CASES["coop"]
RUNS = [(name, batch_size) for name in CASES for batch_size in ((4,) if name == WITH_ADAMW else (4, 3, 1))]


def config(name: str, batch_size: int, devices: int) -> TrainConfig:
    # Few steps: hinges and absolute values have kinks, where the last bit decides which way a prompt goes on.
    epochs = 1 if batch_size == 1 else 3
    optimizer = "adamw" if name == WITH_ADAMW else "sgd"
    shared = {"lr": 0.002, "warmup_lr": 0.002, "seed": 5, "optimizer": optimizer}
    return TrainConfig(epochs=epochs, batch_size=batch_size, devices=devices).model_copy(update=shared)


@pytest.fixture(scope="module")
def shared() -> tuple[dict[tuple[str, int], Trained], list[str]]:
    """Every run in two processes, and what they said."""
    said = list[str]()
    runs = [(CASES[name], config(name, batch_size, 2)) for name, batch_size in RUNS]
    found = run_in_processes(train_shares, (runs,), 2, said.append)
    return dict(zip(RUNS, found, strict=True)), said


@pytest.mark.parametrize(("name", "batch_size"), RUNS)
def test_two_processes_give_the_result_of_one(
    name: str, batch_size: int, shared: tuple[dict[tuple[str, int], Trained], list[str]]
) -> None:
    losses, prompts = train_share(CASES[name], config(name, batch_size, 1))
    shared_losses, shared_prompts = shared[0][name, batch_size]
    assert shared_losses == pytest.approx(losses, rel=1e-4)
    assert shared_prompts.keys() == prompts.keys()
    for key in prompts:
        np.testing.assert_allclose(shared_prompts[key], prompts[key], rtol=0, atol=1e-5)

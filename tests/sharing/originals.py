"""Checkpoints as the original projects write them, made from golden numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from clipprompt.backbone import Backbone
from tests.conftest import Golden

OURS_TO_THEIRS = {"ctx_local": "ctx_double"}
INPUTS = {"ctx": "prompt_learner.ctx", "visual_ctx": "image_encoder.VPT"}
DEEP = {"deep_ctx": "compound_prompts_text.{}", "deep_proj": "compound_prompt_projections.{}"}


class Warmup(torch.optim.lr_scheduler.LRScheduler):
    """Wraps another schedule as a live object, which then stands in the checkpoint, optimiser and all."""

    def __init__(self, optimizer: torch.optim.Optimizer, successor: Any) -> None:
        self.successor = successor
        super().__init__(optimizer)

    def get_lr(self) -> list[float | Tensor]:
        return [0.1]


def original_state(numbers: Golden, backbone: Backbone, when: str = "final", n_ctx: int | None = None) -> Golden:
    """The state of an original prompt learner under its own keys, the words around the context included."""
    state = dict[str, Tensor]()
    for key, value in numbers.items():
        if key.startswith(f"{when}/"):
            state |= _theirs(key.removeprefix(f"{when}/"), value)
    embedded = backbone.text.embed_tokens(numbers["tokenized_prompts"])
    n_ctx = n_ctx or state["ctx"].shape[-2]
    return {**state, "token_prefix": embedded[:, :1], "token_suffix": embedded[:, 1 + n_ctx :]}


def tai_dpt_state(numbers: Golden, backbone: Backbone) -> Golden:
    """TaI-DPT's state has its unused scales as well."""
    scales = {"temperature": 3.0, "spatial_T": 3.0, "ranking_scale": 4.0}
    state = original_state(numbers, backbone)
    return {**state, "token_suffix_nocls": state["token_suffix"], **{k: torch.tensor(v) for k, v in scales.items()}}


def maple_state(numbers: Golden, backbone: Backbone) -> Golden:
    """MaPLe's file is that of the whole model."""
    inside = {f"prompt_learner.{key}": value for key, value in original_state(numbers, backbone).items()}
    return {**inside, "image_encoder.proj": torch.zeros(2, 2), "logit_scale": torch.tensor(2.66)}


def tower_state(numbers: Golden, backbone: Backbone, method: str) -> Golden:
    """VPT, IVLP and PromptSRC keep all but the first context in the encoders, the whole model in one file."""
    prompts = {key.removeprefix("final/"): value for key, value in numbers.items() if key.startswith("final/")}
    state = {"image_encoder.proj": torch.zeros(2, 2), "text_encoder.ln_final.weight": torch.zeros(2)}
    if "tokenized_prompts" in numbers:
        state |= {
            f"prompt_learner.{key}": value for key, value in original_state(numbers, backbone).items() if "token" in key
        }
    for key, value in prompts.items():
        if key in INPUTS:
            state[INPUTS[key]] = value
        else:
            encoder = "image" if "visual" in key else "text"
            name = f"{encoder}_encoder.transformer.resblocks.{{}}.VPT_shallow"
            state |= {name.format(layer): row for layer, row in enumerate(value, 1)}
    if method == "promptsrc":
        state["prompt_learner.ZS_image_encoder.class_embedding"] = torch.zeros(2)
    return state


def write_original(path: Path, state: Golden, epoch: int = 5) -> Path:
    """Writes a checkpoint with everything that the originals put beside the state."""
    path.parent.mkdir(parents=True, exist_ok=True)
    parameter = torch.nn.Parameter(torch.ones(2))
    optimizer = torch.optim.SGD([parameter], lr=0.1, momentum=0.9)
    parameter.sum().backward()
    optimizer.step()
    successor = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 5)
    warmup = Warmup(optimizer, successor)
    schedule = {key: value for key, value in vars(warmup).items() if key != "optimizer"}
    whole = {"state_dict": state, "epoch": epoch, "optimizer": optimizer.state_dict(), "scheduler": schedule}
    torch.save({**whole, "val_result": np.float64(71.5)}, path)
    return path


def _theirs(key: str, value: Tensor) -> Golden:
    first, _, rest = key.partition(".")
    if first not in DEEP:
        return {OURS_TO_THEIRS.get(key, key): value}
    name = DEEP[first] + (f".{rest}" if rest else "")
    return {name.format(layer): row for layer, row in enumerate(value)}

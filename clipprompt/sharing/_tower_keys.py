"""Prompts that the original projects keep inside the towers: those of VPT, IVLP and PromptSRC.

    prompt_learner.ctx                                        ctx, not in VPT
    text_encoder.transformer.resblocks.I.VPT_shallow          deep_ctx, stacked over I = 1, 2, …
    image_encoder.VPT                                         visual_ctx
    image_encoder.transformer.resblocks.I.VPT_shallow         deep_visual_ctx, stacked over I = 1, 2, …
    prompt_learner.ZS_image_encoder.*                         PromptSRC's teacher, the one thing that tells it from IVLP

The file is that of the whole model; CLIP's weights are beside them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from clipprompt.errors import UserError

TOWER_METHODS = ("ivlp", "promptsrc", "vpt")
_INPUTS = {"prompt_learner.ctx": "ctx", "image_encoder.VPT": "visual_ctx"}
_DEEP = re.compile(r"(text|image)_encoder\.transformer\.resblocks\.(\d{1,3})\.VPT_shallow")
_DEEP_NAMES = {"text": "deep_ctx", "image": "deep_visual_ctx"}


def read_tower_prompts(state: Mapping[str, Tensor]) -> tuple[str, dict[str, Tensor], dict[str, Any]] | None:
    """Finds prompts that stand in the towers.

    Args:
        state: of the whole model, under the original names.

    Returns:
        Method, parameters under our names in float32, and options that the shapes tell; None where there are none.

    Raises:
        UserError: naming the key that is missing or of a wrong shape.
    """
    if not any("VPT" in key for key in state):
        return None
    parameters = {ours: state[theirs].float() for theirs, ours in _INPUTS.items() if theirs in state}
    for tower, name in _DEEP_NAMES.items():
        if deep := _deep_prompts(state, tower):
            parameters[name] = _stack(deep, parameters, tower)
    for name, value in parameters.items():
        if value.dim() != (3 if name.startswith("deep") else 2) or not value.numel() or not value.isfinite().all():
            raise UserError(f"its {name} has shape {tuple(value.shape)}, or numbers that are not finite")
    method = "ivlp" if "ctx" in parameters else "vpt"
    if any(key.startswith("prompt_learner.ZS_image_encoder.") for key in state):
        method = "promptsrc"
    return method, parameters, _options(method, parameters)


def _deep_prompts(state: Mapping[str, Tensor], tower: str) -> dict[int, Tensor]:
    found = ((_DEEP.fullmatch(key), value) for key, value in state.items())
    return dict(sorted((int(match[2]), value.float()) for match, value in found if match and match[1] == tower))


def _stack(deep: Mapping[int, Tensor], parameters: Mapping[str, Tensor], tower: str) -> Tensor:
    """The prompts of layers 1, 2, …; each must be there, and all like those of the input."""
    first = {"text": "ctx", "image": "visual_ctx"}[tower]
    if first not in parameters:
        raise UserError(f"there are prompts for layers of the {tower} encoder, but none for its input ({first!r} here)")
    for layer in range(1, max(deep) + 1):
        if layer not in deep:
            raise UserError(f"the {tower} encoder has prompts for layer {max(deep)}, but none for layer {layer}")
        if deep[layer].shape != parameters[first].shape:
            raise UserError(
                f"the {tower} encoder's prompts of layer {layer} have another shape than those of its input"
            )
    return torch.stack(list(deep.values()))


def _options(method: str, parameters: Mapping[str, Tensor]) -> dict[str, Any]:
    def sizes(name: str) -> tuple[int, int]:
        return len(parameters[name]), 1 + len(parameters.get(f"deep_{name}", ()))

    if method == "vpt":
        return dict(zip(("n_ctx", "depth"), sizes("visual_ctx"), strict=True))
    options = dict(zip(("n_ctx_text", "depth_text"), sizes("ctx"), strict=True))
    if "visual_ctx" not in parameters:
        return {**options, "depth_visual": 0}
    return options | dict(zip(("n_ctx_visual", "depth_visual"), sizes("visual_ctx"), strict=True))

"""What the original projects call their parameters, and what the same numbers are called here.

    CoOp      ctx
    CoCoOp    ctx, meta_net.linear1.*, meta_net.linear2.*
    TaI-DPT   ctx, ctx_double (here ctx_local), temperature, spatial_T, ranking_scale
    MaPLe     ctx, proj.*, compound_prompts_text.I, compound_prompt_projections.I.* (here stacked over I)
    all       token_prefix, token_suffix, token_suffix_nocls: embeddings around the context, made anew here

MaPLe's file is that of the whole model: the prompts are under ``prompt_learner.``, and CLIP's weights beside them.
``_tower_keys.py`` reads VPT, IVLP and PromptSRC, whose prompts are inside the towers.
"""

from __future__ import annotations

import math
import re
from typing import Any, NamedTuple

import torch
from torch import Tensor

from clipprompt.errors import UserError, nearest
from clipprompt.sharing._tower_keys import TOWER_METHODS, read_tower_prompts

METHODS = ("coop", "cocoop", "maple", "tai_dpt", *TOWER_METHODS)
# The keys by which a method is known; the first that fits.
_SIGNATURES = {
    "tai_dpt": {"ctx", "ctx_double"},
    "cocoop": {"ctx", "meta_net.linear1.weight"},
    "maple": {"ctx", "proj.weight"},
    "coop": {"ctx"},
}
_META_NET = [f"meta_net.linear{i}.{part}" for i in (1, 2) for part in ("weight", "bias")]
_REQUIRED = {
    "coop": ["ctx"],
    "cocoop": ["ctx", *_META_NET],
    "maple": ["ctx", "proj.weight", "proj.bias"],
    "tai_dpt": ["ctx", "ctx_double"],
}
_AROUND = ("token_prefix", "token_suffix", "token_suffix_nocls")
_NAMES = "CoOp, CoCoOp, VPT, IVLP, MaPLe, PromptSRC or TaI-DPT"
_SCALES = ("temperature", "spatial_T", "ranking_scale")
_UNLEARNT = 3.0  # where TaI-DPT starts its two scales; without a gradient they stay there to the last bit
_DEEP = re.compile(r"compound_(prompts_text\.(\d{1,3})|prompt_projections\.(\d{1,3})\.(?:weight|bias))")
_DEEP_NAMES = {
    "deep_ctx": "compound_prompts_text.{}",
    "deep_proj.weight": "compound_prompt_projections.{}.weight",
    "deep_proj.bias": "compound_prompt_projections.{}.bias",
}


class Prompt(NamedTuple):
    """A learner's parameters and options, as they are here.

    Attributes:
        method: name of the learner.
        parameters: under our names, float32.
        options: those that the shapes and numbers tell.
        suffix: embeddings right of the context, (C, L, d); None where the file has none.
    """

    method: str
    parameters: dict[str, Tensor]
    options: dict[str, Any]
    suffix: Tensor | None


def read_prompt(state: dict[str, Tensor], method: str = "auto") -> Prompt:
    """Translates the state of an original prompt learner.

    Args:
        state: under the original names, with or without ``module.`` and ``prompt_learner.`` before them.
        method: one of ``METHODS``, or ``auto`` to tell it by the keys.

    Raises:
        UserError: naming the key that is missing, unknown, or of a wrong shape.
    """
    check_method(method)
    plain = {key.removeprefix("module."): value for key, value in state.items()}
    in_towers = read_tower_prompts(plain)
    tensors = _prompt_learner(plain)
    found = in_towers[0] if in_towers else _recognise(tensors)
    if method not in ("auto", found):
        raise UserError(f"--method {method} does not fit: the keys are those of {found}")
    if in_towers:
        return Prompt(*in_towers, tensors.get("token_suffix"))
    _check_keys(tensors, found)
    values = {key: value.float() for key, value in tensors.items() if key not in _AROUND}
    parameters, options = {"maple": _maple, "tai_dpt": _tai_dpt}.get(found, _plain)(values)
    if found in ("coop", "tai_dpt"):
        options["class_specific"] = parameters["ctx"].dim() == 3
    options["n_ctx"] = parameters["ctx"].shape[-2]
    return Prompt(found, parameters, options, tensors.get("token_suffix"))


def check_method(method: str) -> None:
    """Refuses what is neither ``auto`` nor a method whose checkpoints can be read.

    Raises:
        UserError: with the nearest name.
    """
    known = ("auto", *METHODS)
    if method not in known:
        raise UserError(f"--method {method!r} is not one of {', '.join(known)}{nearest(method, known)}")


def _prompt_learner(plain: dict[str, Tensor]) -> dict[str, Tensor]:
    inside = {key.removeprefix("prompt_learner."): v for key, v in plain.items() if key.startswith("prompt_learner.")}
    return inside or plain


def _recognise(tensors: dict[str, Tensor]) -> str:
    for method, signature in _SIGNATURES.items():
        if signature <= set(tensors):
            return method
    some = ", ".join(list(tensors)[:4]) or "none at all"
    raise UserError(f"these are no prompts of {_NAMES}: there is no key 'ctx', but {some}")


def _check_keys(tensors: dict[str, Tensor], method: str) -> None:
    for key in _REQUIRED[method]:
        if key not in tensors:
            raise UserError(f"{method}: key {key!r} is missing; there are {', '.join(tensors)}")
    allowed = {*_REQUIRED[method], *_AROUND, *(_SCALES if method == "tai_dpt" else ())}
    for key, value in tensors.items():
        if key not in allowed and not (method == "maple" and _DEEP.fullmatch(key)):
            raise UserError(f"{method}: key {key!r} is not one of its own; was this another method's checkpoint?")
        if not value.is_floating_point() or not torch.isfinite(value).all():
            raise UserError(f"{method}: {key!r} does not hold finite numbers")
    dims = {"coop": (2, 3), "tai_dpt": (2, 3)}.get(method, (2,))
    if tensors["ctx"].dim() not in dims or tensors["ctx"].numel() == 0:
        raise UserError(f"{method}: 'ctx' has shape {tuple(tensors['ctx'].shape)}, which is no context")


def _plain(values: dict[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    return values, {"ctx_init": None}


def _tai_dpt(values: dict[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The constants of the paper, unless the scales were learnt; learnt ones come as fixed numbers."""
    if values["ctx"].shape != values["ctx_double"].shape:
        shapes = [tuple(values[key].shape) for key in ("ctx", "ctx_double")]
        raise UserError(f"tai_dpt: 'ctx' and 'ctx_double' have shapes {shapes[0]} and {shapes[1]}, which must be equal")
    options: dict[str, Any] = {"ctx_init": None}
    for key, names in (("temperature", ["logit_scale"]), ("spatial_T", ["spatial_scale_text", "spatial_scale_image"])):
        value = values.get(key, torch.tensor(_UNLEARNT))
        if value.numel() != 1:
            raise UserError(f"tai_dpt: {key!r} has shape {tuple(value.shape)}, but it is one number")
        if float(value) != _UNLEARNT:
            options.update(dict.fromkeys(names, math.exp(float(value))))
    return {"ctx": values["ctx"], "ctx_local": values["ctx_double"]}, options


def _maple(values: dict[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Deep prompts and their layers, stacked; a gap in their numbers is an error."""
    found = {key: _DEEP.fullmatch(key) for key in values}
    layers = [int(match[2] or match[3]) for match in found.values() if match]
    n_deep = max(layers, default=-1) + 1
    parameters = {key: value for key, value in values.items() if not found[key]}
    for ours, theirs in _DEEP_NAMES.items():
        keys = [theirs.format(layer) for layer in range(n_deep)]
        for key in keys:
            if key not in values:
                raise UserError(f"maple: key {key!r} is missing, though there are prompts for {n_deep} deep layers")
            if values[key].shape != values[keys[0]].shape:
                raise UserError(f"maple: {key!r} has another shape than {keys[0]!r}; deep prompts are all alike")
        if keys:
            parameters[ours] = torch.stack([values[key] for key in keys])
    return parameters, {"depth": n_deep + 1}

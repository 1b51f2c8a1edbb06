"""Where a run stands: prompts, optimiser, position. One safetensors file, replaced as a whole; never a pickle.

Tensors are named ``prompt/NAME``; ``momentum/NAME`` of SGD, or ``mean/NAME``, ``square/NAME`` and ``count/NAME`` of
AdamW; ``gathered/NAME`` for what a learner carries from epoch to epoch and, when epochs are selected by validation,
``best/NAME``. The numbers beside them are JSON in the file's own header, so that both always belong together.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from clipprompt.errors import UserError
from clipprompt.files import replace_file
from clipprompt.learners import Learner

_HEADER = "clipprompt"
# What an optimiser keeps of a parameter, and what torch calls it.
_STATE = {"momentum": "momentum_buffer", "mean": "exp_avg", "square": "exp_avg_sq", "count": "step"}
_GROUPS = ("prompt", *_STATE, "gathered", "best")


@dataclass(frozen=True)
class Position:
    """How far a run has come, and what it has gathered on the way.

    Attributes:
        run: hash of the run's configuration.
        epoch: epochs that are finished.
        batch: batches of the next epoch that are finished.
        step: optimiser steps in all.
        loss_sum: sum of this epoch's losses so far.
        seconds: time spent on this epoch so far.
        best_epoch: the best epoch on the validation split so far; 0 = none yet.
        best_score: its score, higher is better.
        loss_scale: by which the loss of towers in float16 is multiplied.
        good_steps: steps since the loss scale changed.
    """

    run: str = ""
    epoch: int = 0
    batch: int = 0
    step: int = 0
    loss_sum: float = 0.0
    seconds: float = 0.0
    best_epoch: int = 0
    best_score: float = 0.0
    loss_scale: float = 1.0
    good_steps: int = 0


@dataclass(frozen=True)
class Checkpoint:
    """A position with its tensors, each by the parameter's name; ``mean``, ``square`` and ``count`` are AdamW's."""

    position: Position
    prompt: dict[str, Tensor]
    momentum: dict[str, Tensor] = field(default_factory=dict)
    mean: dict[str, Tensor] = field(default_factory=dict)
    square: dict[str, Tensor] = field(default_factory=dict)
    count: dict[str, Tensor] = field(default_factory=dict)
    gathered: dict[str, Tensor] = field(default_factory=dict)
    best: dict[str, Tensor] = field(default_factory=dict)


def take_checkpoint(
    position: Position, learner: Learner, optimizer: torch.optim.Optimizer, best: Mapping[str, Tensor]
) -> Checkpoint:
    """Collects the state of a run. Of a parameter that never had a gradient an optimiser keeps nothing."""
    parameters: dict[str, Tensor] = dict(learner.named_parameters())
    state = {
        group: {
            name: optimizer.state[parameter][key]
            for name, parameter in parameters.items()
            if optimizer.state.get(parameter, {}).get(key) is not None
        }
        for group, key in _STATE.items()
    }
    return Checkpoint(position, parameters, **state, gathered=dict(learner.gathered), best=dict(best))


def restore_checkpoint(checkpoint: Checkpoint, learner: Learner, optimizer: torch.optim.Optimizer) -> None:
    """Puts prompts, the optimiser's state and what the learner gathered back, bit by bit.

    Raises:
        UserError: if the checkpoint's parameters are not this learner's.
    """
    parameters = dict(learner.named_parameters())
    shapes = {name: tuple(tensor.shape) for name, tensor in parameters.items()}
    if shapes != {name: tuple(tensor.shape) for name, tensor in checkpoint.prompt.items()}:
        raise UserError(f"the checkpoint has other parameters than this learner ({', '.join(sorted(shapes))})")
    learner.gathered = {name: tensor.to(learner.backbone.device) for name, tensor in checkpoint.gathered.items()}
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(checkpoint.prompt[name])
            for group, key in _STATE.items():
                if name in (kept := getattr(checkpoint, group)):
                    # torch leaves the count of steps on the CPU.
                    device = torch.device("cpu") if group == "count" else parameter.device
                    optimizer.state[parameter][key] = kept[name].to(device).clone()


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Writes a checkpoint; ``path`` holds the old one or the new one at any moment, never a part.

    Raises:
        UserError: if it cannot be written; the old one is still there.
    """
    groups = {group: getattr(checkpoint, group) for group in _GROUPS}
    tensors = {
        f"{group}/{name}": tensor.detach().cpu().contiguous()
        for group, of in groups.items()
        for name, tensor in of.items()
    }
    data = safetensors.torch.save(tensors, metadata={_HEADER: json.dumps(asdict(checkpoint.position))})
    try:
        with replace_file(path) as part:
            part.write_bytes(data)
    except UserError as error:
        kept = f"; the last checkpoint, {path}, is kept" if path.exists() else ""
        raise UserError(f"{error}{kept}") from error


def load_checkpoint(path: Path) -> Checkpoint:
    """Reads a checkpoint.

    Raises:
        UserError: if the file is missing, damaged, or not a checkpoint of ours.
    """
    groups: dict[str, dict[str, Tensor]] = {group: {} for group in _GROUPS}
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            position = Position(**json.loads((file.metadata() or {})[_HEADER]))
            for key in file.keys():  # noqa: SIM118 (the file is no mapping)
                group, _, name = key.partition("/")
                groups[group][name] = file.get_tensor(key)
    except (OSError, ValueError, KeyError, TypeError, safetensors.SafetensorError) as error:
        raise UserError(f"{path} is not a readable checkpoint; remove it to start the run again") from error
    return Checkpoint(position, **groups)

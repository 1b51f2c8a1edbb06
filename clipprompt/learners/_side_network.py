"""The network that side-tuning learns: AlexNet's convolutions as torchvision has them, and a projection."""

from __future__ import annotations

import pickle
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models import AlexNet_Weights, alexnet

from clipprompt.errors import UserError

SMALLEST = 63
"""Pixels of a side, below which nothing is left after the last pooling."""

IMAGENET = "imagenet"
_GRID, _CHANNELS, _PREFIX = 6, 256, "features."
# What torch's reader ends in, by the first letters of a file of another make.
_GARBLED = (pickle.UnpicklingError, EOFError, LookupError, AttributeError, TypeError, ValueError)


def make_side(weights: str | None, generator: torch.Generator) -> nn.Sequential:
    """AlexNet's convolutions on the CPU, float32.

    Args:
        weights: ``imagenet``, a file of torchvision's AlexNet (safetensors or a state dict), or None: random ones that
            keep the variance of ReLU's inputs (arXiv 1502.01852).
        generator: of random weights.

    Raises:
        UserError: if the file cannot be read or is of another network, or cannot be fetched.
    """
    with torch.device("meta"):
        side: nn.Sequential = alexnet().features
    side = side.to_empty(device="cpu")
    for module in side:
        if isinstance(module, nn.Conv2d):
            assert module.bias is not None
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu", generator=generator)
            nn.init.zeros_(module.bias)
    if weights is not None:
        _fill(side, weights)
    return side


def make_projection(n_out: int, generator: torch.Generator) -> nn.Linear:
    """The linear layer, without a bias, from the side network's map to the tower's width."""
    n_in = _CHANNELS * _GRID * _GRID
    projection = nn.utils.skip_init(nn.Linear, n_in, n_out, bias=False)
    assert isinstance(projection, nn.Linear)
    nn.init.normal_(projection.weight, std=n_in**-0.5, generator=generator)
    return projection


def side_features(side: nn.Sequential, images: Tensor) -> Tensor:
    """The side network's map, averaged to 6 x 6: (B, 9216) float32."""
    return F.adaptive_avg_pool2d(side(images.float()), _GRID).flatten(1)


def _fill(side: nn.Sequential, weights: str) -> None:
    found = {key.removeprefix(_PREFIX): value for key, value in _read(weights).items() if key.startswith(_PREFIX)}
    try:
        side.load_state_dict(found)
    except RuntimeError as error:
        raise UserError(f"learner.side_weights={weights} holds no AlexNet of torchvision: features.* differ") from error


def _read(weights: str) -> dict[str, Tensor]:
    try:
        if weights == IMAGENET:
            return dict(AlexNet_Weights.IMAGENET1K_V1.get_state_dict(progress=False, check_hash=True))
        if Path(weights).suffix == ".safetensors":
            return load_file(weights)
        found = torch.load(weights, map_location="cpu", weights_only=True)
    except _GARBLED as error:
        raise UserError(f"learner.side_weights={weights} cannot be read: it is no file of torch's tensors") from error
    except (OSError, RuntimeError, SafetensorError) as error:
        reason = str(error).split("\n", 1)[0]
        raise UserError(f"learner.side_weights={weights} cannot be read: {reason}") from error
    if not isinstance(found, dict) or not all(isinstance(value, Tensor) for value in found.values()):
        raise UserError(f"learner.side_weights={weights} holds no state dict; give a file of torchvision's AlexNet")
    return found

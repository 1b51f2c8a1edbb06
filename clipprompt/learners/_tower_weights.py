"""Weights of the image tower as a learner's own: float32 copies that stand in for the shared ones while it computes.

The shared tensors are never written, and get no gradient. Copies are named as the tower names them, "/" for ".".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

import torch
from torch import Tensor, nn

from clipprompt.backbone import Backbone, Hidden, Pool, VisionTower

T = TypeVar("T")


def copy_weights(tower: VisionTower, names: Iterable[str]) -> nn.ParameterDict:
    """Trainable float32 copies of some of a tower's parameters."""
    shared = dict(tower.module.named_parameters())
    return nn.ParameterDict({name.replace(".", "/"): nn.Parameter(_copy(shared[name])) for name in names})


def run_with_copies(tower: VisionTower, copies: nn.ParameterDict, call: Callable[[], T]) -> T:
    """What ``call`` gives while the copies stand in for the tower's parameters."""
    return tower.run_with({name.replace("/", "."): value for name, value in copies.items()}, call)


def names_read(backbone: Backbone, pool: Pool, layer: int | None = None) -> list[str]:
    """Names of the parameters that the image's feature reads from a layer on, in the tower's order.

    They are found by asking one black image for gradients, so that every kind of tower tells its own: neither the
    projection into the joint space is among them, nor a norm that nothing goes through.

    Args:
        backbone: whose image tower is asked.
        pool: tokens that are read, as ``VisionTower.final`` takes them.
        layer: the first one; None for the whole tower, with what makes tokens of pixels.
    """
    tower, size = backbone.vision, backbone.image_size
    with torch.inference_mode(False), torch.enable_grad():
        black = torch.zeros(1, 3, size, size, device=backbone.device)
        asked = {name: value.detach().requires_grad_() for name, value in tower.module.named_parameters()}

        def feature() -> Tensor:
            return tower.final(from_layer(tower, black, layer), pool)

        found = torch.autograd.grad(tower.run_with(asked, feature).sum(), list(asked.values()), allow_unused=True)
    return [name for name, gradient in zip(asked, found, strict=True) if gradient is not None]


def from_layer(tower: VisionTower, images: Tensor, layer: int | None) -> Hidden:
    """The trunk of images, of which gradients reach the layers from ``layer`` on; None: all of it."""
    if layer is None:
        return tower.trunk(images)
    with torch.no_grad():
        hidden = tower.trunk_to(images, layer)
    return tower.trunk_from(hidden, layer)


def _copy(shared: Tensor) -> Tensor:
    return shared.detach().to(torch.float32, copy=True)

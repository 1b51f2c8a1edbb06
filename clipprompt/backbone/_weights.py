"""Other weights for the time of a call: what bias tuning, partial tuning and full tuning learn."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

T = TypeVar("T")


class WeightedTower:
    """A tower whose named parameters can stand aside for others.

    Attributes:
        module: the frozen model that the tower walks; its ``named_parameters`` are the names that ``run_with`` takes.
    """

    module: nn.Module

    def run_with(self, weights: Mapping[str, Tensor], call: Callable[[], T]) -> T:
        """Calls with these tensors as the module's parameters of those names; afterwards its own are there again.

        Gradients flow into the tensors, in their own type. No other thread may use the tower meanwhile.

        Args:
            weights: by name in ``module``, of the shape that the parameter has; cast to its type and device.
            call: what is run, such as ``lambda: tower.trunk(images)``.

        Raises:
            ValueError: for a name that is no parameter, or another shape.
        """
        cast: dict[str, Tensor] = {}
        own = dict(self.module.named_parameters(remove_duplicate=False))
        for name, weight in weights.items():
            if name not in own:
                raise ValueError(f"{name} is no parameter of the image tower")
            if weight.shape != own[name].shape:
                raise ValueError(f"{name} has shape {tuple(own[name].shape)}, not {tuple(weight.shape)}")
            cast[f"module.{name}"] = weight.to(own[name])
        result: T = torch.func.functional_call(_Calling(self.module), cast, (call,))
        return result


class _Calling(nn.Module):
    """Makes a call of anything a module's forward, which is what torch swaps parameters for."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, call: Callable[[], Any]) -> Any:
        return call()

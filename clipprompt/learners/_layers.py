"""Prompts and small learnt layers, started from a generator: building them leaves the global random state alone."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils import skip_init


def linear(n_in: int, n_out: int, generator: torch.Generator, device: torch.device) -> nn.Linear:
    """A float32 linear layer that starts as PyTorch's own do: uniform within 1 / sqrt(n_in)."""
    layer = skip_init(nn.Linear, n_in, n_out)
    assert isinstance(layer, nn.Linear)
    for parameter in layer.parameters():
        nn.init.uniform_(parameter, -(n_in**-0.5), n_in**-0.5, generator=generator)
    return layer.to(device)


def near_zero_linear(n_in: int, n_out: int, generator: torch.Generator, device: torch.device) -> nn.Linear:
    """A float32 linear layer that starts with zero bias and normal weights of standard deviation 0.01."""
    layer = skip_init(nn.Linear, n_in, n_out)
    assert isinstance(layer, nn.Linear)
    nn.init.normal_(layer.weight, std=0.01, generator=generator)
    nn.init.zeros_(layer.bias)
    return layer.to(device)


def random_prompts(sizes: tuple[int, ...], generator: torch.Generator, device: torch.device) -> nn.Parameter:
    """Prompts (…, n, width) that start normal with standard deviation 0.02."""
    return nn.Parameter((torch.randn(sizes, generator=generator) * 0.02).to(device))


class StackedLinear(nn.Module):
    """J linear layers in two tensors: ``weight`` (J, out, in) and ``bias`` (J, out)."""

    def __init__(self, n_layers: int, n_in: int, n_out: int, generator: torch.Generator, device: torch.device) -> None:
        super().__init__()
        layers = [linear(n_in, n_out, generator, device) for _ in range(n_layers)]
        self.weight = nn.Parameter(torch.stack([layer.weight.detach() for layer in layers]))
        self.bias = nn.Parameter(torch.stack([layer.bias.detach() for layer in layers]))

    def forward(self, inputs: Tensor) -> Tensor:
        """Each layer on its own inputs: (J, n, in) to (J, n, out)."""
        return torch.baddbmm(self.bias[:, None], inputs, self.weight.transpose(1, 2))

"""Where training computes, and how it is made repeatable there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from lightning_fabric import Fabric


def create_fabric(device: torch.device) -> Fabric:
    """Lightning Fabric on one device, the backbone's.

    Towers compute in the backbone's own precision; prompts, losses and gradients stay in float32.
    """
    from lightning_fabric import Fabric

    devices: Any = [device.index or 0] if device.type == "cuda" else 1
    return Fabric(accelerator=device.type, devices=devices, precision="32-true")


@contextmanager
def repeatable(device: torch.device) -> Iterator[None]:
    """Asks for ordered sums on a GPU, where its kernels offer them; torch's global setting is put back.

    On the CPU a run gives the same bits again without it. On a GPU some kernels only come close.
    """
    if device.type != "cuda":
        yield
        return
    before, warn = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before, warn_only=warn)

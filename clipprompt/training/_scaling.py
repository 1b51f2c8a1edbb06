"""Loss scaling, for towers in float16: gradients that would vanish there are carried through as larger numbers.

The scale is a power of two, so nothing is rounded by it. Steps whose gradients overflowed are skipped and the scale is
halved; after many good steps it is doubled (Micikevicius 2018, arXiv 1710.03740, section 3.2). bfloat16 has the range
of float32 and needs none of this.
"""

from __future__ import annotations

import torch
from torch import Tensor

# 32 halvings of torch's first scale. What overflows even here is infinite by itself.
SMALLEST = 2.0**-16


class LossScaler:
    """torch's gradient scaler, with its state as two numbers.

    Attributes:
        is_on: whether anything is scaled.
    """

    def __init__(self, precision: str, device: torch.device) -> None:
        self.is_on = precision == "fp16"
        self._scaler = torch.amp.GradScaler(device.type, enabled=self.is_on)

    @property
    def state(self) -> tuple[float, int]:
        """The scale, and good steps since it changed; (1, 0) when off."""
        found = self._scaler.state_dict()
        return (found["scale"], found["_growth_tracker"]) if found else (1.0, 0)

    def restore(self, scale: float, good_steps: int) -> None:
        """Goes on from a state."""
        if self.is_on:
            self._scaler.load_state_dict({**self._scaler.state_dict(), "scale": scale, "_growth_tracker": good_steps})

    def backward(self, loss: Tensor) -> None:
        """The gradients of the scaled loss."""
        self._scaler.scale(loss).backward()

    def step(self, optimizer: torch.optim.Optimizer) -> bool:
        """One step with the gradients scaled back, or none if they overflowed.

        Returns:
            Whether overflow can still be the scale's fault.
        """
        self._scaler.step(optimizer)
        self._scaler.update()
        return not self.is_on or self._scaler.get_scale() >= SMALLEST

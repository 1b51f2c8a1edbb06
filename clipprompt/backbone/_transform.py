r"""The evaluation transform of a CLIP, in one call or in two: pixels where the file is decoded, numbers for a batch.

PIL image --pixels--> uint8 (3, H, W)       per image, in a decoding thread; a quarter of the memory of floats
\--batch--> uint8 (B, 3, H, W) --normalise--> float32 (B, 3, H, W)       once per batch, on the backbone's device
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms import CenterCrop, Normalize, Resize, ToTensor

# Of a picture that is longer than this many times its width, only the middle is resized: the transform would blow up
# the whole strip and then crop it away.
_LONGEST = 16


class ImageTransform:
    """Wraps open_clip's transform, or any callable from a PIL image to a float tensor (3, H, W).

    A callable of another make is not taken apart: its ``pixels`` are floats already, and ``normalise`` leaves them.
    """

    def __init__(self, whole: Callable[[Any], Tensor]) -> None:
        self._whole = whole
        self._steps: list[Any] = list(getattr(whole, "transforms", []))
        kinds = [type(step) for step in self._steps[-2:]]
        self._splits = len(kinds) == 2 and issubclass(kinds[0], ToTensor) and issubclass(kinds[1], Normalize)

    def __repr__(self) -> str:
        return repr(self._whole)

    def __call__(self, image: Image.Image) -> Tensor:
        """A PIL image to float32 (3, H, W), as the wrapped transform makes it."""
        return self._whole(_middle(image))

    def pixels(self, image: Image.Image) -> Tensor:
        """The first step: a PIL image, resized and cropped, to uint8 (3, H, W)."""
        if not self._splits:
            return self(image)
        image = _middle(image)
        for step in self._steps[:-2]:
            image = step(image)
        return torch.from_numpy(np.array(image)).permute(2, 0, 1)

    def normalise(self, batch: Tensor) -> Tensor:
        """The second step: uint8 (B, 3, H, W) to float32, the numbers that the wrapped transform gives."""
        if not self._splits:
            return batch
        normalised: Tensor = self._steps[-1](batch.float().div_(255))
        return normalised

    def view(self, size: tuple[int, int]) -> tuple[float, float, float, float] | None:
        """The part of a picture (width, height) that reaches the model.

        Returns:
            Left, top, width and height as fractions of the picture; None where the transform is of another make.
        """
        if not self._splits or not isinstance(self._steps[0], Resize):
            return None
        if not any(isinstance(step, CenterCrop) for step in self._steps):
            return 0.0, 0.0, 1.0, 1.0
        width, height = (min(size) / side for side in size)
        return (1 - width) / 2, (1 - height) / 2, width, height


def _middle(image: Image.Image) -> Image.Image:
    width, height = image.size
    longest = _LONGEST * min(width, height)
    if max(width, height) <= longest:
        return image
    left, top = max(0, (width - longest) // 2), max(0, (height - longest) // 2)
    return image.crop((left, top, left + min(width, longest), top + min(height, longest)))

r"""The evaluation transform of a backbone, in one call or two: pixels where the file is decoded, numbers for a batch.

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
    """Wraps open_clip's or timm's transform, or any callable from a PIL image to a float tensor (3, H, W).

    A callable of another make is not taken apart: its ``pixels`` are floats already, and ``normalise`` leaves them.
    Where timm enlarges pictures and then cuts their edges off, one that has the size of the crop already, such as a
    random view, is taken as it is.
    """

    def __init__(self, whole: Callable[[Any], Tensor]) -> None:
        self._whole = whole
        self._steps: list[Any] = list(getattr(whole, "transforms", []))
        kinds = [type(step) for step in self._steps[-2:]]
        self._splits = len(kinds) == 2 and issubclass(kinds[0], ToTensor) and issubclass(kinds[1], Normalize)
        self._cropped = self._size_of_crop() if self._splits else None

    def __repr__(self) -> str:
        return repr(self._whole)

    def __call__(self, image: Image.Image) -> Tensor:
        """A PIL image to float32 (3, H, W), as the wrapped transform makes it."""
        if image.size == self._cropped:
            return self.normalise(self.pixels(image)[None])[0]
        return self._whole(_middle(image))

    def pixels(self, image: Image.Image) -> Tensor:
        """The first step: a PIL image, resized and cropped, to uint8 (3, H, W)."""
        if not self._splits:
            return self(image)
        is_cropped, image = image.size == self._cropped, _middle(image)
        for step in self._steps[:-2]:
            image = image if is_cropped and isinstance(step, Resize | CenterCrop) else step(image)
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
        if size == self._cropped or not any(isinstance(step, CenterCrop) for step in self._steps):
            return 0.0, 0.0, 1.0, 1.0
        resized, crop = self._steps[0].size, self._cropped
        if crop is None:  # the shorter side is resized to the crop's
            width, height = (min(size) / side for side in size)
        elif isinstance(resized, int) or len(resized) == 1:
            shorter = resized if isinstance(resized, int) else resized[0]
            width, height = (min(1.0, min(size) / side * part / shorter) for side, part in zip(size, crop, strict=True))
        else:
            width, height = crop[0] / resized[1], crop[1] / resized[0]
        return (1 - width) / 2, (1 - height) / 2, width, height

    def _size_of_crop(self) -> tuple[int, int] | None:
        """Width and height of the crop, where pictures are made larger than that before it."""
        crop = next((step for step in self._steps if isinstance(step, CenterCrop)), None)
        if crop is None or not isinstance(self._steps[0], Resize):
            return None
        height, width = crop.size
        resized = self._steps[0].size
        larger = (resized if isinstance(resized, int) else min(resized)) > min(height, width)
        return (width, height) if larger else None


def _middle(image: Image.Image) -> Image.Image:
    width, height = image.size
    longest = _LONGEST * min(width, height)
    if max(width, height) <= longest:
        return image
    left, top = max(0, (width - longest) // 2), max(0, (height - longest) // 2)
    return image.crop((left, top, left + min(width, longest), top + min(height, longest)))

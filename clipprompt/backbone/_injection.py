"""What a learner puts into the image tower's walk, and where.

pixels (frame) -> patch embedding (channels) -> + added[0] [tokens[0]] -> layer 0 -> + added[1] [tokens[1]] -> layer 1 …
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from torch import Tensor
from torch.nn import functional as F

from clipprompt.errors import UserError


class Channels(NamedTuple):
    """Prompts beside the colours of the pixels, and the patch embedding's weights for them.

    Attributes:
        pixels: (n, H, W), the same for all images.
        kernel: (W, n, patch, patch).
    """

    pixels: Tensor
    kernel: Tensor


@dataclass(frozen=True)
class Injected:
    """Prompts by place (VPT, arXiv 2203.12119, 3.1 and Figure 6). Empty: the tower as it is.

    Attributes:
        tokens: by layer, (n, W) or (B, n, W): stand behind the tower's own tokens from there on, in the place of those
            that stood there before. W is the width of that layer: Swin's stages have several. At layer 0 they pass the
            tower's pre-norm, where it has one.
        added: by layer, (L, W): added to the tower's own tokens that enter it, behind the pre-norm.
        frame: (3, H + 2m, W + 2m): learnt pixels of which the middle is the image.
        channels: prompts beside the colours.
    """

    tokens: Mapping[int, Tensor] = field(default_factory=dict)
    added: Mapping[int, Tensor] = field(default_factory=dict)
    frame: Tensor | None = None
    channels: Channels | None = None

    @property
    def first_layer(self) -> int:
        """The first layer that sees anything of it; 0 where the pixels or the embeddings change."""
        if self.changes_pixels:
            return 0
        return min([*self.tokens, *self.added], default=0)

    @property
    def changes_pixels(self) -> bool:
        """Whether any of it enters before the first layer's states are there."""
        return self.frame is not None or self.channels is not None


def by_layer(prompts: Tensor | None, deep: Tensor | None) -> Injected:
    """Prompts (n, W) or (B, n, W) at the input, and those (J-1, …) that replace them before the layers after it.

    Raises:
        ValueError: if ``deep`` is given without ``prompts``, or with another number of tokens.
    """
    n = 0 if prompts is None else prompts.shape[-2]
    if deep is not None and deep.shape[-2] != n:
        raise ValueError(f"{deep.shape[-2]} deep prompts cannot replace {n} prompts")
    first = {} if prompts is None else {0: prompts}
    later = {} if deep is None else {i + 1: deep[i] for i in range(len(deep))}
    return Injected(tokens={**first, **later})


def check_layers(injected: Injected, first: int, n_layers: int) -> None:
    """Refuses what would be injected where no layer is walked.

    Raises:
        ValueError: naming the layer.
    """
    for layer in (*injected.tokens, *injected.added):
        if not first <= layer < n_layers:
            raise ValueError(f"prompts enter layer {layer}; layers {first} to {n_layers - 1} are walked")


def frame_images(images: Tensor, frame: Tensor | None) -> Tensor:
    """Images (B, 3, H, W) in the middle of a frame (3, H + 2m, W + 2m), of which the border alone is seen.

    Raises:
        UserError: for images that do not fit, such as those of another size than was learnt on.
    """
    if frame is None:
        return images
    (height, width), (outer_height, outer_width) = images.shape[-2:], frame.shape[-2:]
    m = (outer_height - height) // 2
    if m < 1 or (height + 2 * m, width + 2 * m) != (outer_height, outer_width):
        raise UserError(
            f"images of {width} x {height} pixels do not fit into a learnt frame of {outer_width} x {outer_height}: "
            "give the size that it was learnt with"
        )
    framed = frame.to(images.dtype).expand(len(images), -1, -1, -1).clone()
    framed[..., m : m + height, m : m + width] = images
    return framed


def embed_channels(channels: Channels, like: Tensor, patch: int) -> Tensor:
    """What prompts beside the colours add to the embeddings ``like`` (B, W, rows, columns): (1, W, rows, columns).

    A convolution over joined channels is the sum of those over each part.

    Raises:
        UserError: if the images have another size than the prompts.
    """
    pixels, kernel = (part.to(like.dtype) for part in channels)
    embedded = F.conv2d(pixels[None], kernel, stride=patch)
    if embedded.shape[-2:] != like.shape[-2:]:
        height, width = pixels.shape[-2:]
        raise UserError(f"prompts on channels were learnt for images of {width} x {height} pixels: give that size")
    return embedded

"""What a learner puts into the image tower's walk, and where.

pixels (frame) -> patch embedding (channels) -> + added[0] [tokens[0]] -> layer 0 -> + added[1] [tokens[1]] -> layer 1 …
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from torch import Tensor


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
            that stood there before. W is the width of that layer: Swin's stages have several.
        added: by layer, (L, W): added to the tower's own tokens that enter it.
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
        if self.frame is not None or self.channels is not None:
            return 0
        return min([*self.tokens, *self.added], default=0)

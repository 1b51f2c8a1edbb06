r"""MaPLe: multi-modal prompt learning (Khattak 2023, arXiv 2210.03117).

    text    [start][ctx 1 … n][left-over words][name][.][end] -> layer 0 -> [deep_ctx 1] -> layer 1 -> …   --+
                      |                                                         |                          cos
                      proj                                                  deep_proj 1                      |
                      v                                                         v                            |
    image   [class][patches][    1 … n    ]                   -> layer 0 -> [deep prompts] -> layer 1 -> … --+

The image's prompts are linear images of the text's, layer by layer; beyond ``depth`` both go on as ordinary tokens.

Where we depart from the original code: it trains in float32 (there, casts to float16 are hard-coded, and ``proj`` then
fails in float32); sizes come from the backbone; words with fewer tokens than ``n_ctx`` are not used (there, the context
then learns over the class name).
"""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from clipprompt.backbone import Backbone
from clipprompt.learners._base import ImageFeatures, LearnerOptions
from clipprompt.learners._deep_context import DeepContextLearner
from clipprompt.learners._layers import StackedLinear, linear
from clipprompt.learners._visual import check_depth, check_transformer, encode_prompted_images


class MaPLeOptions(LearnerOptions):
    """Options of ``maple``."""

    n_ctx: int = Field(2, ge=1, description="prompts of each layer, on both sides")
    depth: int = Field(9, ge=1, description="layers with prompts of their own; 1 prompts the input alone")
    ctx_init: str | None = Field(
        "a photo of a", description="words whose first n_ctx tokens are learnt, the others stay; random when null"
    )


class MaPLe(DeepContextLearner):
    """Prompts in both towers, coupled by linear layers.

    Parameters: ``ctx`` (n_ctx, d), ``proj`` (d to W), and at depth J > 1 ``deep_ctx`` (J-1, n_ctx, d) and ``deep_proj``
    with ``weight`` (J-1, W, d) and ``bias`` (J-1, W).
    """

    Options: ClassVar[type[LearnerOptions]] = MaPLeOptions
    image_side_is_frozen = False
    options: MaPLeOptions

    def __init__(self, backbone: Backbone, options: MaPLeOptions, generator: torch.Generator, n_classes: int) -> None:
        super().__init__(backbone, options, generator, n_classes)
        check_transformer("maple", backbone)
        check_depth("depth", options.depth, "text", backbone)
        check_depth("depth", options.depth, "image", backbone)
        sizes = (backbone.text_width, backbone.vision.width)
        self._make_context(options.n_ctx, options.depth, options.ctx_init, generator)
        self.proj = linear(*sizes, generator, backbone.device)
        if options.depth > 1:
            self.deep_proj = StackedLinear(options.depth - 1, *sizes, generator, backbone.device)

    def visual_prompts(self) -> tuple[Tensor, Tensor | None]:
        """The image side's prompts: (n_ctx, W) at the input and (J-1, n_ctx, W) for the layers after it."""
        return self.proj(self.ctx), None if self.deep_ctx is None else self.deep_proj(self.deep_ctx)

    def encode_images(self, images: Tensor) -> ImageFeatures:
        """Image features with the coupled prompts, and with gradients."""
        return encode_prompted_images(self.backbone, images, *self.visual_prompts())

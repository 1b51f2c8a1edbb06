r"""IVLP: independent vision-language prompting, the baseline of MaPLe (arXiv 2210.03117) and PromptSRC (2307.06948).

    text    [start][ctx 1 … n][left-over words][name][.][end] -> layer 0 -> [deep_ctx 1] -> layer 1 -> … --+
                                                                                                          cos
    image   [class][patches][visual_ctx 1 … m]        -> layer 0 -> [deep_visual_ctx 1] -> layer 1 -> … --+

As MaPLe, but nothing couples the two sides: each has its own number of prompts and its own depth. Without any in the
image tower (``depth_visual`` 0) the image features are frozen, and can be computed once.

Where we depart from the original code: prompts are float32 (there, the deep ones and all visual ones are rounded to
float16 at every layer, whatever the precision); words with fewer tokens than ``n_ctx_text`` are not used (there, the
context then learns over the class name).
"""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field

from clipprompt.backbone import Backbone
from clipprompt.learners._base import LearnerOptions
from clipprompt.learners._deep_context import DeepContextLearner
from clipprompt.learners._visual import VisualPromptLearner, check_depth, check_transformer


class IVLPOptions(LearnerOptions):
    """Options of ``ivlp``."""

    n_ctx_text: int = Field(4, ge=1, description="prompts of each layer in the text tower")
    n_ctx_visual: int = Field(4, ge=1, description="prompts of each layer in the image tower")
    depth_text: int = Field(9, ge=1, description="text layers with prompts of their own; 1 prompts the input alone")
    depth_visual: int = Field(9, ge=0, description="image layers with prompts of their own; 0 leaves the tower frozen")
    ctx_init: str | None = Field(
        "a photo of a", description="words whose first n_ctx_text tokens are learnt, the others stay; random when null"
    )


class IVLP(VisualPromptLearner, DeepContextLearner):
    """Prompts in both towers, each side its own.

    Parameters: ``ctx`` (n_ctx_text, d), ``visual_ctx`` (n_ctx_visual, W), and beyond depth 1 ``deep_ctx`` and
    ``deep_visual_ctx``, each (its depth - 1, its n, its width).
    """

    Options: ClassVar[type[LearnerOptions]] = IVLPOptions
    options: IVLPOptions

    def __init__(self, backbone: Backbone, options: IVLPOptions, generator: torch.Generator, n_classes: int) -> None:
        super().__init__(backbone, options, generator, n_classes)
        if options.depth_visual:
            check_transformer(self.name, backbone)
        check_depth("depth_text", options.depth_text, "text", backbone)
        check_depth("depth_visual", options.depth_visual, "image", backbone)
        self._make_context(options.n_ctx_text, options.depth_text, options.ctx_init, generator)
        self._make_visual_prompts(options.n_ctx_visual, options.depth_visual, generator)

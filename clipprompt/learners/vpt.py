r"""VPT: visual prompt tuning (Jia 2022, arXiv 2203.12119), on CLIP: the class names are the classifier.

    [class][patches + positions][visual_ctx 1 … n] -> ln_pre -> layer 0
    [class][patches]            [deep 1, 1 … n   ]           -> layer 1    deep: the last n tokens made anew
    [class][patches]            [as they are     ]           -> layer 2 …  beyond the depth they pass on

    last layer -> class token -> image feature --cos-- class features <- text tower <- "a photo of a {}."

Depth 1 is VPT-shallow, more is VPT-deep. The text side learns nothing and is computed once for each set of class names.

Where we depart from the original code (VPT on CLIP, as published with MaPLe): prompts are float32 (there, they are
rounded to float16 at every layer, whatever the precision), and the sentence that says a class name can be chosen.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from clipprompt.backbone import Backbone, resolve_templates
from clipprompt.learners._base import LearnerOptions
from clipprompt.learners._sentences import Templates, encode_sentences
from clipprompt.learners._visual import VisualPromptLearner, check_depth, check_transformer


class VPTOptions(LearnerOptions):
    """Options of ``vpt``."""

    n_ctx: int = Field(8, ge=1, description="prompts of each layer")
    depth: int = Field(12, ge=1, description="layers with prompts of their own; 1 is VPT-shallow")
    templates: Templates = Field(
        ("a photo of a {}.",), min_length=1, description="sentences with {} for the class name, or names of such sets"
    )


class VPT(VisualPromptLearner):
    """Prompts in the image tower alone.

    Parameters: ``visual_ctx`` (n_ctx, W), and at depth J > 1 ``deep_visual_ctx`` (J-1, n_ctx, W).
    """

    Options: ClassVar[type[LearnerOptions]] = VPTOptions
    options: VPTOptions
    _text: Tensor

    def __init__(self, backbone: Backbone, options: VPTOptions, generator: torch.Generator, n_classes: int) -> None:
        super().__init__(backbone, options, generator, n_classes)
        check_transformer("vpt", backbone)
        check_depth("depth", options.depth, "image", backbone)
        self._make_visual_prompts(options.n_ctx, options.depth, generator)
        self._sentences = resolve_templates(options.templates)
        self.register_buffer("_text", torch.empty(0), persistent=False)

    def _embed_classes(self, names: list[str]) -> None:
        self._text = encode_sentences(self.backbone, self._sentences, names)

    def _compute_text_features(self) -> Tensor:
        return self._text

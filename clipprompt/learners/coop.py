r"""CoOp: learning to prompt for vision-language models (Zhou 2022, arXiv 2109.01134).

    end     [start][ctx 1 … ctx n][name][.][end]          -> text tower -> class features --cos--> logits
    middle  [start][first half][name][other half][.][end]                                   ^
    front   [start][name][ctx 1 … ctx n][.][end]                    image -> image tower ---+

One context for all classes, or one for each (class-specific).

Where we depart from the original code: words to start from bring as many vectors as they have tokens (there, words are
counted, and the rest of a split word is left to the class name); they start class-specific contexts too (there, the
context is then unified). A name whose last sign makes one token with the full stop ("C++.") has that token behind the
context, where the context stands within or behind the name.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from clipprompt.backbone import Backbone
from clipprompt.learners._base import LearnerOptions
from clipprompt.learners._context import ContextLearner, encode_prompts, init_context


class CoOpOptions(LearnerOptions):
    """Options of ``coop``."""

    n_ctx: int = Field(16, ge=1, description="context vectors, where they start random; words bring their own number")
    ctx_init: str | None = Field(None, description="words to start from, such as a photo of a; random when null")
    class_specific: bool = Field(False, description="one context per class instead of one for all")
    class_token_position: Literal["end", "middle", "front"] = Field(
        "end", description="where the class name stands: after, within or before the context"
    )


class CoOp(ContextLearner):
    """A learnt context in place of "a photo of a". Parameter: ``ctx``, (n_ctx, d) or class-specific (C, n_ctx, d)."""

    Options: ClassVar[type[LearnerOptions]] = CoOpOptions
    options: CoOpOptions

    def __init__(self, backbone: Backbone, options: CoOpOptions, generator: torch.Generator, n_classes: int) -> None:
        super().__init__(backbone, options, generator, n_classes)
        rows = n_classes if options.class_specific else None
        self.ctx = nn.Parameter(init_context(backbone, options.n_ctx, options.ctx_init, rows, generator))

    def _compute_text_features(self) -> Tensor:
        # Of an odd context the larger half stands after the name.
        n_before = {"end": None, "middle": self._n_context // 2, "front": 0}[self.options.class_token_position]
        return F.normalize(encode_prompts(self.backbone, self._prompts, self.ctx[None], n_before)[0], dim=-1)

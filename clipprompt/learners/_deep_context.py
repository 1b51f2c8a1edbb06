r"""What learners with context in several layers of the text tower share: IVLP, MaPLe and PromptSRC.

[start] [ctx 1 … n]      [left-over words] [name] [.] [end]   -> layer 0
[start] [deep_ctx 1 … n]  as layer 0 left them                -> layer 1 -> …  beyond the depth they pass on
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from clipprompt.backbone.capabilities import refuse_deep_text_prompts
from clipprompt.errors import UserError
from clipprompt.learners._context import ContextLearner, encode_prompts, split_words
from clipprompt.learners._layers import random_prompts


class DeepContextLearner(ContextLearner):
    """A learner whose context starts from words and is made anew before the first layers of the text tower.

    Attributes:
        deep_ctx: (J-1, n, d) replacing the context before layers 1, 2, …; None at depth 1.
    """

    deep_ctx: nn.Parameter | None
    _left_over: Tensor

    def _make_context(self, n_ctx: int, depth: int, words: str | None, generator: torch.Generator) -> None:
        """Makes ``ctx`` and ``deep_ctx``; to be called once, by ``__init__``.

        Raises:
            UserError: for a depth above 1 on a text tower that takes prompts at its input alone.
        """
        takes = depth <= 1 or self.backbone.text.takes_deep_prompts
        if reason := refuse_deep_text_prompts(self.backbone.name, takes):
            raise UserError(f"{self.name} {reason}")
        ctx, left_over = split_words(self.backbone, n_ctx, words, generator)
        self.ctx = nn.Parameter(ctx)
        self.register_buffer("_left_over", left_over, persistent=False)
        sizes = (depth - 1, n_ctx, self.backbone.text_width)
        deep = random_prompts(sizes, generator, self.backbone.device) if depth > 1 else None
        self.register_parameter("deep_ctx", deep)

    @property
    def _n_context(self) -> int:
        return len(self.ctx) + len(self._left_over)

    def _compute_text_features(self) -> Tensor:
        context = torch.cat([self.ctx, self._left_over])[None]
        return F.normalize(encode_prompts(self.backbone, self._prompts, context, deep=self.deep_ctx)[0], dim=-1)

r"""CoCoOp: conditional prompt learning (Zhou 2022, arXiv 2203.05557).

    image -> image tower -> feature --+--> meta_net -> shift (d)
                                      |                  |  added to each context vector, per image
                                      |     [start][ctx 1 + shift … ctx n + shift][name][.][end] -> text tower
                                      +------------------------------cos------------------------------+

Every image has class features of its own, so a batch costs B x C texts; what stands before a name is run B times only.

Where we depart from the original code: batches above one are normal, and words to start from are counted in tokens.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from clipprompt.backbone import Backbone
from clipprompt.errors import UserError
from clipprompt.learners._base import Features, ImageFeatures, LearnerOptions
from clipprompt.learners._context import ContextLearner, encode_prompts, init_context
from clipprompt.learners._layers import linear


class CoCoOpOptions(LearnerOptions):
    """Options of ``cocoop``."""

    n_ctx: int = Field(4, ge=1, description="context vectors, where they start random")
    ctx_init: str | None = Field("a photo of a", description="words to start from; random when null")


class MetaNet(nn.Module):
    """Image feature (B, E) to the shift of the context (B, d), through E / 16 units (section 3.2)."""

    def __init__(self, n_in: int, n_out: int, generator: torch.Generator, device: torch.device) -> None:
        super().__init__()
        n_hidden = max(1, n_in // 16)
        self.linear1 = linear(n_in, n_hidden, generator, device)
        self.linear2 = linear(n_hidden, n_out, generator, device)

    def forward(self, features: Tensor) -> Tensor:
        """The shifts (B, d) for normalised image features (B, E)."""
        shift: Tensor = self.linear2(F.relu(self.linear1(features)))
        return shift


class CoCoOp(ContextLearner):
    """A context that each image shifts. Parameters: ``ctx`` (n_ctx, d) and two linear layers in ``meta_net``."""

    Options: ClassVar[type[LearnerOptions]] = CoCoOpOptions
    text_side_sees_the_image: ClassVar[bool] = True
    options: CoCoOpOptions

    def __init__(self, backbone: Backbone, options: CoCoOpOptions, generator: torch.Generator, n_classes: int) -> None:
        super().__init__(backbone, options, generator, n_classes)
        self.ctx = nn.Parameter(init_context(backbone, options.n_ctx, options.ctx_init, None, generator))
        self.meta_net = MetaNet(backbone.embed_dim, backbone.text_width, generator, backbone.device)

    def conditioned_text_features(self, features: ImageFeatures) -> Tensor:
        """Each image's own class features, L2-normalised float32 (B, C, E)."""
        contexts = self.ctx + self.meta_net(features.global_)[:, None]
        return F.normalize(encode_prompts(self.backbone, self._prompts, contexts), dim=-1)

    def logits_from(self, features: Features) -> Tensor:
        """Scaled cosines (B, C) of each image with its own class features (equation 3).

        Raises:
            UserError: for captions, which shift nothing.
        """
        if not isinstance(features, ImageFeatures):
            raise UserError("cocoop shifts its context by an image; it cannot score captions")
        text = self.conditioned_text_features(features)
        return self.backbone.logit_scale * torch.einsum("be,bce->bc", features.global_, text)

    def _compute_text_features(self) -> Tensor:
        """Those of the context itself, which no image has shifted."""
        return F.normalize(encode_prompts(self.backbone, self._prompts, self.ctx[None])[0], dim=-1)

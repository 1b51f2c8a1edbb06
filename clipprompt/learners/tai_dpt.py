r"""TaI-DPT: texts as images, double-grained prompt tuning (Guo 2023, arXiv 2211.12739).

    training   caption -> text tower -> end token  --cos--> ctx prompts         global   ranking loss
               (frozen, cached)      -> all tokens --cos--> ctx_local prompts   local    ranking loss
    test       image   -> image tower -> pooled    --cos--> ctx prompts         global \ mean
                                      -> places    --cos--> ctx_local prompts   local  /

Captions stand in for images because CLIP puts both into one space, so no image is seen in training.

Where we depart from the original code: padding is masked by the end token's position and not by token id 0, which is
also the "!" inside a run of punctuation; ``ctx_init`` works; ``learn_scales`` has parameters only when they are learnt;
the ViT, which the original cannot use, has its local features from the value path of the last block.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from clipprompt import losses
from clipprompt.backbone import Backbone
from clipprompt.learners._base import Features, ImageFeatures, LearnerOptions, as_multi_hot, global_cosines
from clipprompt.learners._context import ContextLearner, encode_prompts, init_context
from clipprompt.learners._dense import BranchLogits, DenseLearner, branch_logits

_LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "double_ranking": losses.ranking,
    "asl": losses.asymmetric,
    "bce": losses.binary_cross_entropy,
}


class TaIDPTOptions(LearnerOptions):
    """Options of ``tai_dpt``."""

    n_ctx: int = Field(16, ge=1, description="context vectors of each prompt")
    ctx_init: str | None = Field(None, description="words to start both contexts from; random when null")
    class_specific: bool = Field(False, description="one context per class instead of one for all")
    loss: Literal["double_ranking", "single_ranking", "asl", "bce"] = Field(
        "double_ranking", description="training loss; single_ranking trains the global branch alone"
    )
    logit_scale: float = Field(4.0, gt=0, description="factor of the cosines")
    spatial_scale_text: float = Field(50.0, gt=0, description="sharpness of the local branch over caption tokens")
    spatial_scale_image: float = Field(50.0, gt=0, description="sharpness of the local branch over places")
    learn_scales: bool = Field(False, description="learn both scales, as exponentials, from 3.0 on")


class TaIDPT(ContextLearner, DenseLearner):
    """Two prompts per class, one for the whole and one for the parts.

    Parameters: ``ctx`` and ``ctx_local``, each (n_ctx, d) or class-specific (C, n_ctx, d); with ``learn_scales`` also
    the scalars ``temperature`` and ``spatial_temperature``, whose exponentials replace the fixed scales.
    """

    Options: ClassVar[type[LearnerOptions]] = TaIDPTOptions
    trains_on: ClassVar[Literal["captions", "images"]] = "captions"
    trains_on_both: ClassVar[bool] = True
    branch: ClassVar[Literal["global", "local", "merged"]] = "merged"
    options: TaIDPTOptions

    def __init__(self, backbone: Backbone, options: TaIDPTOptions, generator: torch.Generator, n_classes: int) -> None:
        super().__init__(backbone, options, generator, n_classes)
        rows = n_classes if options.class_specific else None
        self.ctx = nn.Parameter(init_context(backbone, options.n_ctx, options.ctx_init, rows, generator))
        self.ctx_local = nn.Parameter(init_context(backbone, options.n_ctx, options.ctx_init, rows, generator))
        if options.learn_scales:
            self.temperature = nn.Parameter(torch.tensor(3.0, device=backbone.device))
            self.spatial_temperature = nn.Parameter(torch.tensor(3.0, device=backbone.device))

    @property
    def pools_with_positions(self) -> bool:
        """The attention pool is read without its positional embedding."""
        return False

    def caption_logits(self, token_ids: Tensor) -> BranchLogits:
        """Logits of both branches for captions, token ids (B, L)."""
        return self.branch_logits_from(self.encode_captions(token_ids))

    def branch_logits_from(self, features: Features) -> BranchLogits:
        """Logits of both branches (equations 2 to 4), for images or captions."""
        text_global, text_local = self.text_features()
        return branch_logits(features, text_global, text_local, self._logit_scale, self.spatial_scale(features))

    def local_class_features(self) -> Tensor:
        """The features of the ``ctx_local`` prompts."""
        return self.text_features()[1]

    def spatial_scale(self, features: Features) -> float | Tensor:
        """Learnt, or one for places and one for words."""
        if self.options.learn_scales:
            return self.spatial_temperature.exp()
        on_images = isinstance(features, ImageFeatures)
        return self.options.spatial_scale_image if on_images else self.options.spatial_scale_text

    def logits_from(self, features: Features) -> Tensor:
        """The mean of both branches (section 3.4)."""
        return self.branch_logits_from(features).merged

    def loss_from(self, features: Features, labels: Tensor) -> Tensor:
        """The sum of both branches' losses, for captions, or for labelled images in their place.

        Args:
            features: encoded captions or images.
            labels: multi-hot (B, C); 1 present, 0 absent, -1 unknown. Or long (B,), the one class of each.

        Raises:
            UserError: if the labels do not fit the samples and classes.
        """
        labels = as_multi_hot(labels, len(self.classnames))
        kind = self.options.loss
        if kind == "single_ranking":  # ctx_local is not used, so it gets no gradient rather than a zero one
            text = F.normalize(encode_prompts(self.backbone, self._prompts, self.ctx[None]), dim=-1)[0]
            return losses.ranking(self._logit_scale * global_cosines(features, text), labels, scale=2.0)
        whole, part, _ = self.branch_logits_from(features)
        loss = _LOSSES[kind]
        return loss(whole, labels) + loss(part, labels)

    @property
    def _logit_scale(self) -> float | Tensor:
        return self.temperature.exp() if self.options.learn_scales else self.options.logit_scale

    def _compute_text_features(self) -> Tensor:
        """Both prompts' features in one pass: (2, C, E), global first."""
        contexts = torch.stack([self.ctx, self.ctx_local])
        return F.normalize(encode_prompts(self.backbone, self._prompts, contexts), dim=-1)

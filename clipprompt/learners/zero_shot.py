"""Zero-shot CLIP (Radford 2021, arXiv 2103.00020, 3.1.2): hand-written templates, nothing learnt.

    "a photo of a {}."  x  class names  -> text tower -> normalise -> mean over templates -> normalise [-> centre]

Templates are sentences, or names of sets of them: ``clip_imagenet_80``, or a data set such as ``oxford_pets``.

The local branch is TaI-DPT's baseline (arXiv 2211.12739, table 1): dense features, softmax-weighted with CLIP's scale.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from clipprompt.backbone import Backbone, resolve_templates
from clipprompt.errors import UserError
from clipprompt.learners._base import Features, LearnerOptions
from clipprompt.learners._dense import BranchLogits, DenseLearner, branch_logits
from clipprompt.learners._sentences import Templates, encode_sentences


class ZeroShotOptions(LearnerOptions):
    """Options of ``zero_shot``."""

    templates: Templates = Field(
        ("a photo of a {}.",), min_length=1, description="sentences with {} for the class name, or names of such sets"
    )
    centre: bool = Field(False, description="subtract the class mean from the text features")
    positional: bool = Field(True, description="pool the image with positions (CLIP), or without (TaI-DPT)")
    spatial_scale: float | None = Field(None, gt=0, description="sharpness of the local branch; null: CLIP's scale")


class ZeroShot(DenseLearner):
    """CLIP with hand-written templates. It has no parameters.

    With ``centre`` the mean over classes is subtracted from the text features: what all classes share tells nothing
    about which of them is in the picture.
    """

    Options: ClassVar[type[LearnerOptions]] = ZeroShotOptions
    options: ZeroShotOptions

    def __init__(
        self, backbone: Backbone, options: ZeroShotOptions, generator: torch.Generator, n_classes: int
    ) -> None:
        super().__init__(backbone, options, generator, n_classes)
        self._sentences = resolve_templates(options.templates)
        self.register_buffer("_text", torch.empty(0), persistent=False)

    @property
    def pools_with_positions(self) -> bool:
        """With positions as CLIP pools, or without as TaI-DPT does."""
        return self.options.positional

    def branch_logits_from(self, features: Features) -> BranchLogits:
        """Both branches with CLIP's logit scale."""
        text = self.text_features()
        return branch_logits(features, text, text, self.backbone.logit_scale, self.spatial_scale(features))

    def local_class_features(self) -> Tensor:
        """Those of the global branch: there is one text per class."""
        return self.text_features()

    def spatial_scale(self, features: Features) -> float:
        """The option's, or CLIP's logit scale."""
        given = self.options.spatial_scale
        return self.backbone.logit_scale if given is None else given

    def loss_from(self, features: Features, labels: Tensor) -> Tensor:
        """There is nothing to train.

        Raises:
            UserError: always.
        """
        raise UserError("zero_shot has nothing to train")

    def _compute_text_features(self) -> Tensor:
        return self._text

    def _embed_classes(self, names: list[str]) -> None:
        if self.options.centre and len(names) == 1:
            raise UserError("centre=True needs at least two classes: the mean of one is itself")
        features = encode_sentences(self.backbone, self._sentences, names)
        self._text = F.normalize(features - features.mean(dim=0), dim=-1) if self.options.centre else features

r"""CLIP-LoRA: low-rank changes of both towers of CLIP (Zanella and Ben Ayed 2024, arXiv 2405.18541).

    image -> image tower, LoRA on q, k, v of every block -> feature --+
                                                                     cos -> logits
    "a photo of a {}." -> text tower, LoRA on q, k, v    -> feature --+

As LoRA (2106.09685), but there is no head: the class names are the classifier, and others can be named after training.

Where we depart from the authors' code: B A counts alpha / rank times, as in LoRA's paper (there, alpha / sqrt(rank)).
"""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from clipprompt.backbone import Backbone, resolve_templates
from clipprompt.learners._base import ImageFeatures, LearnerOptions
from clipprompt.learners._lora import Letters, LoraLearner, LoraOptions
from clipprompt.learners._sentences import Templates, encode_sentences


class CLIPLoRAOptions(LoraOptions):
    """Options of ``clip_lora``."""

    rank: int = Field(2, ge=1, description="rows of A and columns of B")
    alpha: float = Field(1.0, gt=0, description="the product B A counts alpha / rank times")
    dropout: float = Field(0.25, ge=0, lt=1, description="share of what enters A that is left out at a training step")
    projections: Letters = Field(
        ("q", "k", "v"), min_length=1, description="of each block: some of q, k, v, out, fc1, fc2"
    )
    towers: Literal["both", "image", "text"] = Field("both", description="towers with LoRA")
    templates: Templates = Field(
        ("a photo of a {}.",), min_length=1, description="sentences with {} for the class name, or names of such sets"
    )


class CLIPLoRA(LoraLearner):
    """LoRA in one tower or both. Parameters: ``lora.TOWER/BLOCK/PROJECTION/A`` (r, in) and ``…/B`` (out, r)."""

    Options: ClassVar[type[LearnerOptions]] = CLIPLoRAOptions
    options: CLIPLoRAOptions
    _text: Tensor

    def __init__(
        self, backbone: Backbone, options: CLIPLoRAOptions, generator: torch.Generator, n_classes: int
    ) -> None:
        super().__init__(backbone, options, generator, n_classes)
        self._sentences = resolve_templates(options.templates)
        self._tokens: list[Tensor] = []
        self.register_buffer("_text", torch.empty(0), persistent=False)
        self._make_lora(("image", "text") if options.towers == "both" else (options.towers,), generator)
        self.image_side_is_frozen = options.towers == "text"

    def encode_images(self, images: Tensor) -> ImageFeatures:
        """Image features with LoRA, and with gradients; the frozen ones where the text tower alone has it."""
        if self.image_side_is_frozen:
            return self.frozen_features(images)
        tower = self.adapted.vision
        whole = F.normalize(tower.pool(tower.trunk(images.to(self.backbone.device))), dim=-1)
        return ImageFeatures(whole, whole.new_empty(len(whole), 0, whole.shape[-1]))

    def _embed_classes(self, names: list[str]) -> None:
        if self.options.towers == "image":
            self._text = encode_sentences(self.backbone, self._sentences, names)
        else:
            self._tokens = [
                self.backbone.tokenize([sentence.replace("{}", name) for name in names]) for sentence in self._sentences
            ]

    def _compute_text_features(self) -> Tensor:
        if self.options.towers == "image":
            return self._text
        text = self.adapted.text
        each = [F.normalize(text.encode_tokens(tokens), dim=-1) for tokens in self._tokens]
        return F.normalize(torch.stack(each).sum(dim=0), dim=-1)

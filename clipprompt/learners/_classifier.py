"""What learners share that keep CLIP's text classifier as it is and learn, or look up, something beside it."""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from clipprompt.backbone import Backbone, resolve_templates
from clipprompt.errors import UserError
from clipprompt.learners._base import Features, ImageFeatures, Learner, LearnerOptions
from clipprompt.learners._sentences import Templates, encode_sentences


class ClassifierOptions(LearnerOptions):
    """Options of every learner with CLIP's text classifier."""

    templates: Templates = Field(
        ("a photo of a {}.",), min_length=1, description="sentences with {} for the class name, or names of such sets"
    )


class ClassifierLearner(Learner):
    """A learner whose class features are those of hand-written sentences, and whose image side is frozen."""

    text_side_sees_the_image: ClassVar[bool] = True  # what it does to an image's feature, no classifier says
    options: ClassifierOptions
    _text: Tensor

    def __init__(
        self, backbone: Backbone, options: ClassifierOptions, generator: torch.Generator, n_classes: int
    ) -> None:
        super().__init__(backbone, options, generator, n_classes)
        self._sentences = resolve_templates(options.templates)
        self.register_buffer("_text", torch.empty(0), persistent=False)

    def _whole(self, features: Features) -> Tensor:
        """The images' own features (B, E), L2-normalised.

        Raises:
            UserError: for captions, which these learners have nothing to do with.
        """
        if not isinstance(features, ImageFeatures):
            raise UserError(f"{self.name} is learnt from features of images; it cannot score captions")
        return features.global_

    def _embed_classes(self, names: list[str]) -> None:
        self._text = encode_sentences(self.backbone, self._sentences, names)

    def _compute_text_features(self) -> Tensor:
        return self._text

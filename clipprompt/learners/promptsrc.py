r"""PromptSRC: prompting with self-regulating constraints (Khattak 2023, arXiv 2307.06948).

    with prompts      images ----> image features --+--> cosines -> softmax --> cross-entropy with the labels
                      names  ----> text features  --+                  |
                                      |       |                        |
                                      L1      L1                       KL
                                      |       |                        |
    without prompts   images ----> image features --+--> cosines -> softmax
                      sentences -> text features  --+

Prompts as IVLP's, held near what the same CLIP says without them. The teacher is the learner's own backbone: its text
side is computed once for each set of class names, and its image side only where gradients are wanted. After training
the prompts are an average over epochs, weighted by a Gaussian, so that neither the first steps nor the last decide.

Where we depart from the original code: prompts are float32, as IVLP's; the teacher's sentences are CLIP's 80 for
ImageNet (there, 60 of the authors' choice; name others with ``templates``); only prompts are averaged over epochs
(there, the whole model is, whose weights do not change); and there is one CLIP in memory (there, two).
"""

from __future__ import annotations

import logging
from typing import ClassVar, NamedTuple

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from clipprompt.learners._base import Features, ImageFeatures, LearnerOptions, cross_entropy, global_cosines
from clipprompt.learners._sentences import Templates
from clipprompt.learners._written import WrittenLearner, WrittenOptions
from clipprompt.learners.ivlp import IVLP, IVLPOptions


class PromptSRCOptions(WrittenOptions, IVLPOptions):
    """Options of ``promptsrc``: IVLP's, the weights of its constraints, and the averaging over epochs."""

    templates: Templates = Field(
        ("clip_imagenet_80",), min_length=1, description="the teacher's sentences, or names of sets of them"
    )
    text_weight: float = Field(25.0, ge=0, description="of the distance between text features and the teacher's")
    image_weight: float = Field(10.0, ge=0, description="of the distance between image features and the teacher's")
    logit_weight: float = Field(1.0, ge=0, description="of the divergence of the classes' shares from the teacher's")
    gaussian_mean: float | None = Field(
        15.0, description="epoch, from 1, whose prompts count most in the average; null keeps the last epoch's"
    )
    gaussian_std: float = Field(1.0, gt=0, description="epochs on either side that count too")


class PromptSRCTerms(NamedTuple):
    """The terms of the loss, scalars, without their weights.

    Attributes:
        cross_entropy: with the labels.
        text: mean absolute difference between the text features and the teacher's.
        image: mean absolute difference between the image features and the teacher's.
        logits: divergence of the student's softmax from the teacher's, averaged over images and classes.
    """

    cross_entropy: Tensor
    text: Tensor
    image: Tensor
    logits: Tensor


class PromptSRC(WrittenLearner, IVLP):
    """IVLP held near its own backbone. Parameters: those of ``ivlp``."""

    Options: ClassVar[type[LearnerOptions]] = PromptSRCOptions
    normalises_each_sentence: ClassVar[bool] = False  # as the original; it moves the features by about 0.01
    options: PromptSRCOptions

    def encode_images(self, images: Tensor) -> ImageFeatures:
        """Image features with the prompts; where gradients are wanted, the teacher's too."""
        features = super().encode_images(images)
        return self._with_teacher(features, images) if torch.is_grad_enabled() else features

    def loss(self, inputs: Tensor, labels: Tensor) -> Tensor:
        """All terms of the loss for images (B, 3, H, W), with or without gradients."""
        features = self._with_teacher(self.encode_images(inputs), inputs)
        return self.loss_from(features, labels.to(self.backbone.device))

    def loss_from(self, features: Features, labels: Tensor) -> Tensor:
        """The cross-entropy and the weighted constraints (section 3.2.1).

        Args:
            features: encoded images. If they were encoded without gradients, as validation does, the teacher has not
                seen them, and the loss is the cross-entropy alone.
            labels: long (B,) or multi-hot (B, C); 1 present, 0 absent, -1 unknown.
        """
        if not isinstance(features, ImageFeatures) or self._frozen(features) is None:
            return super().loss_from(features, labels)
        terms, options = self.terms_from(features, labels), self.options
        weights = (1.0, options.text_weight, options.image_weight, options.logit_weight)
        return torch.stack([weight * term for weight, term in zip(weights, terms, strict=True)]).sum()

    def terms_from(self, features: ImageFeatures, labels: Tensor) -> PromptSRCTerms:
        """The terms of the loss, without their weights; arguments as ``loss_from``.

        Raises:
            ValueError: for images that the teacher has not seen.
        """
        frozen = self._frozen(features)
        if frozen is None:
            raise ValueError("the teacher has not seen these images: encode them with gradients")
        text, teacher, scale = self.text_features(), self.written_features(), self.backbone.logit_scale
        logits = scale * global_cosines(features, text)
        shares, teacher_shares = logits.log_softmax(dim=-1), (scale * frozen @ teacher.T).log_softmax(dim=-1)
        return PromptSRCTerms(
            cross_entropy(logits, labels),
            F.l1_loss(text, teacher),
            F.l1_loss(features.global_, frozen),
            F.kl_div(shares, teacher_shares, log_target=True, reduction="none").mean(),
        )

    def end_epoch(self, epoch: int, n_epochs: int) -> None:
        """Adds the prompts of a finished epoch to the average (section 3.2.2)."""
        mean, std = self.options.gaussian_mean, self.options.gaussian_std
        if mean is None:
            return
        if epoch == 0:
            self.gathered = {}
            if mean > n_epochs:
                logging.getLogger("clipprompt").warning(
                    "gaussian_mean %g lies beyond the last of %d epochs, whose prompts then count most", mean, n_epochs
                )
        weight = float(gaussian_weights(n_epochs, mean, std)[epoch])
        for name, parameter in self.named_parameters():
            share = weight * parameter.detach()
            self.gathered[name] = self.gathered[name] + share if name in self.gathered else share

    def end_training(self) -> None:
        """Takes the average over epochs for the prompts."""
        with torch.no_grad():
            for name, average in self.gathered.items():
                self.get_parameter(name).copy_(average)
        self.gathered = {}

    def _with_teacher(self, features: ImageFeatures, images: Tensor) -> ImageFeatures:
        if self._frozen(features) is not None:
            return features
        return features._replace(frozen=F.normalize(self.backbone.encode_image(images), dim=-1))

    def _frozen(self, features: ImageFeatures) -> Tensor | None:
        """The teacher's image features; without prompts in the image tower they are the learner's own."""
        return features.global_ if self.image_side_is_frozen else features.frozen


def gaussian_weights(n_epochs: int, mean: float, std: float) -> Tensor:
    """Weights of epochs 1 to n in the average: a Gaussian of the epoch's number, float64 (n_epochs,), summing to 1."""
    epochs = torch.arange(1, n_epochs + 1, dtype=torch.float64)
    return (-((epochs - mean) ** 2) / (2 * std**2)).softmax(dim=0)  # far from the mean, a density would be 0 throughout

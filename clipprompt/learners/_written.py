"""What learners share that are held to hand-written sentences while they learn, such as KgCoOp and ProGrad."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from clipprompt.backbone import Backbone, resolve_templates
from clipprompt.learners._base import Learner, LearnerOptions, check_classnames
from clipprompt.learners._sentences import Templates, encode_sentences


class WrittenOptions(LearnerOptions):
    """Options of a learner that is held to hand-written sentences."""

    templates: Templates = Field(
        ("a photo of a {}.",), min_length=1, description="hand-written sentences to stay near, or names of such sets"
    )


class WrittenLearner(Learner):
    """A learner whose loss looks at what hand-written sentences say of its classes.

    Attributes:
        normalises_each_sentence: before the average over sentences, as CLIP does.
    """

    normalises_each_sentence: ClassVar[bool] = True
    options: WrittenOptions
    _written: Tensor | None

    def __init__(self, backbone: Backbone, options: WrittenOptions, generator: torch.Generator, n_classes: int) -> None:
        super().__init__(backbone, options, generator, n_classes)
        self._sentences = resolve_templates(options.templates)
        self.register_buffer("_written", None, persistent=False)

    def set_classes(self, classnames: Sequence[str]) -> None:
        """Takes other class names; what sentences say of them is made anew."""
        super().set_classes(classnames)
        self._written = None

    def written_features(self) -> Tensor:
        """Class features (C, E) of the sentences, L2-normalised and without gradients.

        They are made when a loss first asks for them, so that a prompt in use does not pay for them.

        Raises:
            UserError: naming a sentence that is too long with a class name in it.
        """
        if self._written is None:
            names, each = check_classnames(self.classnames), self.normalises_each_sentence
            self._written = encode_sentences(self.backbone, self._sentences, names, normalise_each=each)
        return self._written

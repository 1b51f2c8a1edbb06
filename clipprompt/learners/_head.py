r"""What learners with a head of their own share: a linear layer over the image's feature, in place of class names.

    images --encode_images--> ImageStates --states_to_feature--> (B, W_out) --head--> logits (B, C)
              frozen where ``frozen_part`` says so                learnt

(VPT, arXiv 2203.12119, section 4.1.) The feature is the tower's before its projection into the joint space. The classes
are those that were learnt: there is no text that could say others.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from clipprompt import losses
from clipprompt.backbone import Backbone, Hidden, Pool
from clipprompt.errors import UserError
from clipprompt.learners._base import (
    Features,
    ImageStates,
    Learner,
    LearnerOptions,
    as_multi_hot,
    check_classnames,
    clean_name,
    cross_entropy,
)
from clipprompt.learners._layers import near_zero_linear

_HEAD = "head."
_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


class HeadOptions(LearnerOptions):
    """Options of every learner with a head."""

    pool: Pool = Field("own", description="tokens whose mean the head reads: own (as the tower does), class, image …")
    loss: Literal["softmax", "sigmoid"] = Field(
        "softmax", description="softmax: one class a picture; sigmoid: each class on its own, for several a picture"
    )


class HeadLearner(Learner):
    """A learner whose logits are a linear layer's. Its image side is its own: whoever has images calls it.

    A subclass overrides ``image_state``; or, where the walk is frozen up to a layer, sets ``frozen_part`` and overrides
    ``encode_images`` and ``states_to_feature``. As it stands it reads the frozen tower's feature.

    Attributes:
        head: float32 ``weight`` (C, W_out), which starts small and normal, and ``bias`` (C,), which starts at 0.
        trained_classes: the names in the order of the head's rows; ``classnames`` may be some of them.
        puts_prompts: whether there are prompts in the image tower, which ``pool=prompts`` can read.
    """

    Options: ClassVar[type[LearnerOptions]] = HeadOptions
    options: HeadOptions
    image_side_is_frozen = False
    has_text_features = False
    puts_prompts: ClassVar[bool] = False
    head: nn.Linear
    _rows: Tensor | None

    def __init__(self, backbone: Backbone, options: HeadOptions, generator: torch.Generator, n_classes: int) -> None:
        super().__init__(backbone, options, generator, n_classes)
        if n_classes == 0:
            raise UserError("there are no class names")
        if options.pool == "prompts" and not self.puts_prompts:
            raise UserError(f"pool=prompts: {self.name} has no prompts in the image tower; use own, class or image")
        self.head = near_zero_linear(backbone.vision.final_width, n_classes, generator, backbone.device)
        self.trained_classes: tuple[str, ...] = ()
        self.register_buffer("_rows", None, persistent=False)

    def image_state(self, images: Tensor) -> Tensor:
        """The feature (B, W_out) of images (B, 3, H, W), float32, with gradients of what is learnt."""
        tower = self.backbone.vision
        return tower.final(tower.trunk(images), self.options.pool)

    def encode_images(self, images: Tensor) -> ImageStates:
        """What the learnt part goes on from: without gradients where there is a ``frozen_part``."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and self.frozen_part is None):
            return ImageStates(self.image_state(images.to(self.backbone.device)), (1, 1))

    def states_to_feature(self, states: ImageStates) -> Tensor:
        """The feature (B, W_out), float32, of encoded images."""
        return states.values.float()

    def as_hidden(self, states: ImageStates) -> Hidden:
        """States that enter a layer, in the type in which the tower computes, from whichever they were kept in."""
        return Hidden(states.values.to(_DTYPES[self.backbone.precision]), states.grid)

    def logits_from(self, features: Features) -> Tensor:
        """The head's answers (B, C) for its classes, from encoded images."""
        if not isinstance(features, ImageStates):
            raise TypeError(f"{self.name} reads states of its image tower, not {type(features).__name__}")
        logits: Tensor = self.head(self.states_to_feature(features))
        return logits if self._rows is None else logits[:, self._rows]

    def loss_from(self, features: Features, labels: Tensor) -> Tensor:
        """The cross-entropy, or with ``loss=sigmoid`` the mean binary cross-entropy over the known labels."""
        logits = self.logits_from(features)
        if self.options.loss == "softmax":
            return cross_entropy(logits, labels)
        return losses.binary_cross_entropy(logits, as_multi_hot(labels, logits.shape[1]))

    def set_classes(self, classnames: Sequence[str]) -> None:
        """Takes some of the classes that were learnt, in any order.

        Raises:
            UserError: for no, empty or duplicate names, or one that was not learnt.
        """
        check_classnames(classnames)
        known = {clean_name(name).lower(): row for row, name in enumerate(self.trained_classes or classnames)}
        rows = [known.get(clean_name(name).lower()) for name in classnames]
        if None in rows:
            other = classnames[rows.index(None)]
            raise UserError(
                f"{other!r} is none of the {len(known)} classes that {self.name} was trained for: its head answers for "
                "these alone; prompts of a text tower (coop, tai_dpt, zero_shot …) take new class names"
            )
        self.trained_classes = self.trained_classes or tuple(classnames)
        chosen = [row for row in rows if row is not None]
        everything = chosen == list(range(len(known)))
        self._rows = None if everything else torch.tensor(chosen, device=self.head.weight.device)
        self.classnames = tuple(classnames)

    @property
    def first_of_same_prompt(self) -> list[int]:
        """Every class itself: the head has a row for each."""
        return list(range(len(self.classnames)))

    def kept_state(self) -> dict[str, Tensor]:
        """What is saved: everything learnt, and of the head the rows of the present class names."""
        state = super().kept_state()
        if self._rows is None:
            return state
        return {key: value[self._rows] if key.startswith(_HEAD) else value for key, value in state.items()}

    def _embed_classes(self, names: list[str]) -> None:
        """Nothing: a head reads no text."""

    def _compute_text_features(self) -> Tensor:
        raise UserError(
            f"{self.name} has a head for the classes that it was trained for, and no text features; "
            "prompts of a text tower (coop, tai_dpt, zero_shot …) have them"
        )

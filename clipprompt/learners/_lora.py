r"""What learners with LoRA in a tower share (Hu 2022, arXiv 2106.09685).

    with gradients      W x + alpha / r * B (A dropout(x))      A and B beside the frozen weight
    without             (W + alpha / r * B A) x                 merged: the tower costs what it costs without

Dropout is part of the training loss alone. Its masks are a function of the seed, the step and the place, so that a run
that was cut off draws the same ones, and activations that the backward pass computes again meet theirs again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal

import numpy as np
import torch
from pydantic import BeforeValidator, Field
from torch import Tensor, nn

from clipprompt.backbone import Backbone
from clipprompt.backbone.insertion import Letter, Lora, Rank, add_lora
from clipprompt.errors import UserError
from clipprompt.learners._base import Features, Learner, LearnerOptions

_STEPS = "dropout_steps"


def _as_tuple(value: Any) -> Any:
    """``q,v``, ``[q, v]`` and ``0,11`` or a single ``11`` as the command line and YAML have them."""
    if isinstance(value, str):
        parts = (part.strip() for part in value.split(","))
        return tuple(int(part) if part.isdecimal() else part for part in parts)
    if type(value) is int:
        return (value,)
    return tuple(value) if isinstance(value, list) else value


Letters = Annotated[tuple[Letter, ...], BeforeValidator(_as_tuple)]
"""An option that takes projections of a block."""


class LoraOptions(LearnerOptions):
    """Options of every learner with LoRA."""

    rank: int = Field(8, ge=1, description="rows of A and columns of B")
    alpha: float = Field(8.0, gt=0, description="the product B A counts alpha / rank times")
    dropout: float = Field(0.0, ge=0, lt=1, description="share of what enters A that is left out at a training step")
    projections: Letters = Field(("q", "v"), min_length=1, description="of each block: some of q, k, v, out, fc1, fc2")
    layers: Annotated[tuple[int, ...] | None, BeforeValidator(_as_tuple)] = Field(
        None, min_length=1, description="numbers of the blocks, from 0; null: all"
    )


class LoraLearner(Learner):
    """A learner whose towers are the backbone's with LoRA.

    Attributes:
        lora: A (r, in) and B (out, r), float32, as ``image/BLOCK/PROJECTION/A``.
    """

    options: LoraOptions
    lora: nn.ParameterDict

    def _make_lora(self, towers: Sequence[Literal["image", "text"]], generator: torch.Generator) -> None:
        """Makes A and B; to be called once, by ``__init__``.

        Raises:
            UserError: for a projection or layer that is named twice, or that the towers do not have.
        """
        options = self.options
        for key, given in (("projections", options.projections), ("layers", options.layers or ())):
            if len(set(given)) < len(given):
                raise UserError(f"{self.name}: {key} {', '.join(map(str, given))} names one twice")
        rank = Rank(options.rank, options.alpha)
        dropout = self._make_dropout if options.dropout else None
        self._inserted: Lora = add_lora(
            self.backbone, towers, options.projections, rank, generator, layers=options.layers, dropout=dropout
        )
        self._dropout_seed = int(torch.randint(2**31, (), generator=generator)) if options.dropout else 0
        self._drops = self._is_in_loss = False
        self._merged_at: list[int] = []
        self.lora = nn.ParameterDict(self._inserted.parameters)

    @property
    def adapted(self) -> Backbone:
        """The backbone with LoRA in it: beside the weights where there are gradients, else merged into them."""
        if torch.is_grad_enabled():
            self._inserted.unmerge()
            return self._inserted.backbone
        parameters = list(self.lora.values())
        unknown = any(one.is_inference() for one in parameters)  # these have no versions
        versions = [] if unknown else [one._version for one in parameters]
        if unknown or not self._inserted.is_merged or versions != self._merged_at:
            self._inserted.merge()
            self._merged_at = versions
        return self._inserted.backbone

    def loss(self, inputs: Tensor, labels: Tensor) -> Tensor:
        """The training loss, with dropout."""
        self._begin_step()
        self._is_in_loss = True
        try:
            return super().loss(inputs, labels)
        finally:
            self._is_in_loss = False

    def loss_from(self, features: Features, labels: Tensor) -> Tensor:
        """The training loss from encoded images, with dropout in what comes after them."""
        if not self._is_in_loss:
            self._begin_step()
        return super().loss_from(features, labels)

    def forward(self, images: Tensor) -> Tensor:
        """Logits (B, C) for images (B, 3, H, W), without dropout."""
        self._drops = False
        return super().forward(images)

    def end_epoch(self, epoch: int, n_epochs: int) -> None:
        """Ends dropout until the next step."""
        self._drops = False
        super().end_epoch(epoch, n_epochs)

    def _begin_step(self) -> None:
        """Other masks than the last step's; they stay for its backward pass, which may compute activations again."""
        self._drops = self.options.dropout > 0 and torch.is_grad_enabled()
        if self._drops:
            self.gathered[_STEPS] = torch.tensor(self._step + 1)

    @property
    def _step(self) -> int:
        return int(self.gathered.get(_STEPS, torch.tensor(0)))

    def _make_dropout(self, place: int) -> nn.Module:
        def seed() -> tuple[int, ...] | None:
            return (self._dropout_seed, self._step, place) if self._drops else None

        return _Dropout(self.options.dropout, seed)


class _Dropout(nn.Module):
    """Dropout whose mask comes from a seed of its own for every step and place; None: nothing is dropped."""

    def __init__(self, share: float, seed: Callable[[], tuple[int, ...] | None]) -> None:
        super().__init__()
        self.share, self.seed = share, seed

    def forward(self, states: Tensor) -> Tensor:
        seed = self.seed()
        if seed is None:
            return states
        number = int(np.random.SeedSequence(seed).generate_state(1)[0])
        generator = torch.Generator(states.device).manual_seed(number)
        kept = torch.rand(states.shape, generator=generator, device=states.device) >= self.share
        return states * kept / (1 - self.share)

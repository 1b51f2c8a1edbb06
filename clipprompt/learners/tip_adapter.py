r"""Tip-Adapter: a cache of the training pictures beside CLIP's text classifier (Zhang 2022, arXiv 2111.03930).

    f --cos--> keys (N, E) -> exp(-beta (1 - cos)) --> values (N, C) -> times alpha --+
     \--cos--> class features (C, E) -> times CLIP's scale --------------------------(+)-> logits

Keys are the features of the N training pictures, values their labels, so that nothing is trained: ``train.epochs=0``.
With ``tuned`` the keys are where learning starts (Tip-Adapter-F). A picture of several classes counts for each; an
unknown label counts for none. A class that no picture has is judged by its name, as CLIP does, and so are class names
that come after training.

Where we depart from the paper: a key is one picture as evaluation sees it, or with ``train.views`` its first view
(there, the mean over ten random views).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from clipprompt.backbone import Backbone
from clipprompt.errors import UserError
from clipprompt.learners._base import Features, LearnerOptions, as_multi_hot, clean_name
from clipprompt.learners._classifier import ClassifierLearner, ClassifierOptions


class TipAdapterOptions(ClassifierOptions):
    """Options of ``tip_adapter``."""

    tuned: bool = Field(False, description="learn the keys (Tip-Adapter-F); otherwise nothing is trained")
    alpha: float = Field(1.0, ge=0, description="how much the cache counts beside CLIP's own logits; 0: not at all")
    beta: float = Field(5.5, gt=0, description="how sharply keys near a picture count more than others")


class TipAdapter(ClassifierLearner):
    """Features and labels of the training pictures.

    Attributes:
        keys: (N, E), L2-normalised; a parameter where they are tuned.
        values: (N, C) of 1 where a picture has a class, else 0, for the present class names.
    """

    Options: ClassVar[type[LearnerOptions]] = TipAdapterOptions
    reads_training_set: ClassVar[bool] = True
    options: TipAdapterOptions
    keys: Tensor
    values: Tensor

    def __init__(
        self, backbone: Backbone, options: TipAdapterOptions, generator: torch.Generator, n_classes: int
    ) -> None:
        super().__init__(backbone, options, generator, n_classes)
        self._cached: tuple[tuple[str, ...], Tensor] | None = None
        self._fill(torch.empty(0, backbone.embed_dim), torch.empty(0, n_classes))

    @property
    def n_parameters(self) -> int:
        """Numbers that are kept of the training pictures, learnt or not."""
        return self.keys.numel() + self.values.numel()

    def take_training_set(self, batches: Iterable[tuple[Features, Tensor]]) -> None:
        """Fills the cache.

        Args:
            batches: encoded images, and labels, long (B,) or multi-hot (B, C) of 1 present, 0 absent, -1 unknown.

        Raises:
            UserError: if there are no pictures, or the labels are not those of the present classes.
        """
        keys, values = list[Tensor](), list[Tensor]()
        for features, labels in batches:
            keys.append(self._whole(features).detach())
            values.append(as_multi_hot(labels, len(self.classnames)) > 0)
        if not keys:
            raise UserError("tip_adapter keeps the training pictures, and there are none")
        self._fill(torch.cat(keys).clone(), torch.cat(values).float())

    def logits_from(self, features: Features) -> Tensor:
        """CLIP's scaled cosines and what the cache says beside them, (B, C)."""
        whole = self._whole(features)
        near = torch.exp(-self.options.beta * (1 - whole @ self.keys.T))
        return self.backbone.logit_scale * whole @ self.text_features().T + self.options.alpha * near @ self.values

    def set_classes(self, classnames: Sequence[str]) -> None:
        """Takes other class names; those that the cache has pictures of keep them, as long as there is the learner."""
        before = self.classnames
        super().set_classes(classnames)
        if before:
            self._cached = self._cached or (before, self.values)
            self.values = _columns(*self._cached, self.classnames)

    def make_room(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        """Makes room for a cache of as many pictures as a file has."""
        n_pictures = (*shapes.get("keys", ()), 0)[0]
        self._fill(torch.empty(n_pictures, self.keys.shape[1]), torch.empty(n_pictures, self.values.shape[1]))

    def _fill(self, keys: Tensor, values: Tensor) -> None:
        device = self.backbone.device
        if self.options.tuned:
            self.keys = nn.Parameter(keys.to(device))
        else:
            self.register_buffer("keys", keys.to(device))
        self.register_buffer("values", values.to(device))
        self._cached = None


def _columns(known: Sequence[str], values: Tensor, wanted: Sequence[str]) -> Tensor:
    """The columns of ``values`` (N, known classes) for the wanted ones, zero for those that are not known."""
    place = {clean_name(name).lower(): column for column, name in enumerate(known)}
    columns = [place.get(clean_name(name).lower(), len(known)) for name in wanted]
    return F.pad(values, (0, 1))[:, columns]

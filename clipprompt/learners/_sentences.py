"""Class features from hand-written sentences: what learners have that say a class name without a learnt context."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import torch
from pydantic import BeforeValidator
from torch import Tensor
from torch.nn import functional as F

from clipprompt.backbone import Backbone


def _as_tuple(value: Any) -> Any:
    if isinstance(value, str):
        return (value,)
    return tuple(value) if isinstance(value, list) else value  # JSON and YAML have lists


Templates = Annotated[tuple[str, ...], BeforeValidator(_as_tuple)]
"""An option that takes one sentence or several, each with ``{}`` for the class name, or names of sets of them."""


@torch.inference_mode(False)  # kept for training, whoever asks first
def encode_sentences(
    backbone: Backbone, sentences: Sequence[str], names: Sequence[str], *, normalise_each: bool = True
) -> Tensor:
    """One feature for each class, averaged over sentences (CLIP, arXiv 2103.00020, 3.1.4).

    Args:
        backbone: the frozen CLIP.
        sentences: each with ``{}`` for the class name.
        names: C cleaned class names.
        normalise_each: whether a sentence's features are normalised before the average, as CLIP does; otherwise long
            ones count for more.

    Returns:
        float32 (C, E), L2-normalised, without gradients.

    Raises:
        UserError: naming a sentence that is too long with a class name in it.
    """
    total: Tensor | None = None
    for sentence in sentences:
        features = backbone.encode_text(backbone.tokenize([sentence.replace("{}", name) for name in names]))
        features = F.normalize(features, dim=-1) if normalise_each else features
        total = features if total is None else total + features
    assert total is not None
    return F.normalize(total, dim=-1)

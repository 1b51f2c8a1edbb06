"""What the tagger says of a picture. Needs no torch, so that writers of results can be imported quickly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from PIL import Image

Answer = Literal["yes", "uncertain", "no"]
"""Whether a label is there, as far as the probability says."""


@dataclass(frozen=True, eq=False)
class Tag:
    """One label of a picture.

    Attributes:
        label: the class name as it was given.
        score: the learner's logit: it ranks labels, and is no probability.
        probability: 0..1, where the prompt was calibrated.
        heat: float32 (rows, columns), cosines of the places with the label, where heat maps were asked for and the
            learner has a local branch.
        answer: whether it is there, where the calibration says from which probabilities on that is certain.
    """

    label: str
    score: float
    probability: float | None = None
    heat: npt.NDArray[np.float32] | None = None
    answer: Answer | None = None


@dataclass(frozen=True, eq=False)
class ImageTags:
    """The labels of one picture.

    Attributes:
        path: as it was given or found.
        tags: best first; empty when no label reaches its threshold.
        error: why there are no tags, in one line without the path; None for a picture that was read.
        size: (width, height) in pixels, upright.
        thumbnail: a small copy, where it was asked for.
        crop: (left, top, width, height) of what the model saw, in fractions of the upright picture; None if that is
            not known.
    """

    path: str
    tags: tuple[Tag, ...] = ()
    error: str | None = None
    size: tuple[int, int] | None = None
    thumbnail: Image.Image | None = None
    crop: tuple[float, float, float, float] | None = None

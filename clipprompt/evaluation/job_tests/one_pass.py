"""One pass of the tower over a part of a set, for all learners of a backbone and for whatever is tested of the part.

whole part ──tower──> features ──rows of the tested pictures──> scores of this learner, and of the next
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clipprompt.datasets import MultiLabelImages
from clipprompt.evaluation.scoring import Key, Scored, score_images
from clipprompt.features.image_cache import ImageCache
from clipprompt.features.images import what_learners_read
from clipprompt.features.layouts import states_of_all
from clipprompt.features.shared import shared_features
from clipprompt.learners import Learner


@dataclass(frozen=True)
class Evaluation:
    """How learners are tested; results do not depend on it, save in the last bits.

    Attributes:
        root: folder of named sets.
        cache: folder of features of image files, for all processes; None keeps them in memory.
        predictions: file for one line a test picture; None for none.
        batch_size: images that are encoded together.
        workers: threads that decode.
        places: the ways of reading places that other learners of the backbone need, so that one pass serves them too;
            with a cache alone, since memory is short.
        say: takes messages for people.
    """

    root: Path | None = None
    cache: Path | None = None
    predictions: Path | None = None
    batch_size: int = 64
    workers: int = 4
    places: tuple[bool, ...] = ()
    say: Callable[[str], None] = lambda _: None


# Bytes of states of a tested part: all of a set that settings are chosen on, and not of a large test part.
_LARGEST_KEPT = 2e9

IN_MEMORY = Evaluation()
"""Nothing on disk, nothing said."""


def score_part(
    learners: Mapping[Key, Learner],
    images: MultiLabelImages,
    part: Sequence[Any],
    how: Evaluation,
    drawn_by: str = "",
) -> tuple[Scored[Key], bool]:
    """Scores pictures of a part by the branch that each learner answers with; what cannot be read is told.

    Args:
        learners: of one backbone, with the class names of ``images``.
        images: that are tested.
        part: all items of the part, whose features are shared where the learners' image sides are frozen.
        how: where features go, and how they are made.
        drawn_by: of drawn pictures, what decides how an item is drawn.

    Returns:
        Scores by learner, and whether features went through the float16 of the cache on disk.

    Raises:
        UserError: as :func:`score_images`.
    """
    loading: dict[str, Any] = {"batch_size": how.batch_size, "workers": how.workers}
    kept = None
    backbone = next(iter(learners.values())).backbone
    states = states_of_all(learners.values())
    if states is not None and len(part) * states.nbytes("float16") <= _LARGEST_KEPT:
        kept = shared_features(backbone, part, images.open_item, states, cache=how.cache, drawn_by=drawn_by, **loading)
    elif all(learner.image_side_is_frozen for learner in learners.values()):
        read = what_learners_read(learners.values(), own_branch=True).places
        places = tuple(sorted({*read, *(how.places if how.cache else ())}))
        kept = shared_features(backbone, part, images.open_item, places, cache=how.cache, drawn_by=drawn_by, **loading)
    scored = score_images(learners, images, kept=kept, own_branch=True, **loading)
    for name, reason in scored.skipped:
        how.say(f"{reason}; {name} of {images.name} is left out")
    return scored, isinstance(kept, ImageCache) and kept.is_rounded

"""Drawn sets of one object to a picture: the 40 kinds of the mini world in looks that the mini CLIPs have not seen.

The pictures are drawn when they are asked for. A set shows the same objects as the others, in another look.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from PIL import Image

from clipprompt.datasets.classification.sets import ClassificationSet, Sample
from clipprompt.errors import UserError, nearest
from clipprompt.mini.render import render_scene
from clipprompt.mini.scenes import KINDS, SPLITS, sample_object_scene, split_seeds
from clipprompt.mini.styles import STYLES

# In the order of the alphabet: KINDS has VOC's 20 in front, which mini-vit was shaped on, and halves would be those.
CLASSES = tuple(sorted(KINDS))
_PER_CLASS = {"train": 100, "val": 30, "test": 30}
_SIDE = 64  # pixels, as pictures of the mini world are scored


def load_drawn(name: str, kinds: Sequence[str] = CLASSES) -> ClassificationSet:
    """A drawn set: of each class 100 pictures to train on, 30 to choose settings by, 30 to test on.

    Args:
        name: one of ``STYLES``.
        kinds: the kinds that are drawn, in turns and in the order of the labels.

    Raises:
        UserError: for an unknown set, or a kind that the mini world does not have.
    """
    if name not in STYLES:
        raise UserError(f"there is no drawn set {name!r}{nearest(name, STYLES)}; there are {', '.join(STYLES)}")
    sample_object_scene(0, kinds)  # refuses kinds that are not drawn
    return ClassificationSet(
        name=name,
        parts={part: _samples(name, part, count, kinds) for part, count in _PER_CLASS.items()},
        files="drawn",
        open_item=partial(_draw, kinds=tuple(kinds)),
    )


def _samples(name: str, part: str, count: int, kinds: Sequence[str]) -> tuple[Sample, ...]:
    labels = (seed % len(kinds) for seed in split_seeds(part, count * len(kinds)))
    return tuple(Sample(f"{name}/{part}/{place}", label, kinds[label]) for place, label in enumerate(labels))


def _draw(path: str, kinds: tuple[str, ...]) -> Image.Image:
    name, part, place = path.split("/")
    seed = SPLITS[part] + int(place)
    return STYLES[name](render_scene(sample_object_scene(seed, kinds), _SIDE), seed)

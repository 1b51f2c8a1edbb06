"""Few-shot draws of a multi-label set: some pictures of each class, each of them with all its labels.

For every class ``shots`` of the pictures that have it are drawn to learn from, whatever other classes they have, and
then min(shots, 4) others to select by from what no class has drawn. Pictures with several classes make more than
``shots`` pictures of a class. By the same seed the pictures of 1 shot are among those of 2.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from clipprompt.datasets.classification.draw import MAX_VAL_SHOTS
from clipprompt.datasets.images import PRESENT, MultiLabelImages
from clipprompt.datasets.partial.known import seeded
from clipprompt.errors import UserError
from clipprompt.printable import counted, listed

_STREAM = 3
Rows = npt.NDArray[np.intp]


def draw_shots(images: MultiLabelImages, shots: int, seed: int) -> tuple[MultiLabelImages, MultiLabelImages | None]:
    """The drawn pictures to learn from and those to select by, each in the set's order.

    Args:
        images: to draw from.
        shots: of each class; all of a class that has fewer, which is noted.
        seed: of the draw, 0 or more.

    Returns:
        Second, None where nothing is left to select by.

    Raises:
        UserError: if ``shots`` is below 1, ``seed`` below 0, or no picture has a class.
    """
    train, val = draw_rows(images, shots, seed)
    few = note_few(images, shots)
    learnt = images.subset(train.tolist()).with_notes(*few, shots=str(shots))
    return learnt, images.subset(val.tolist()).with_notes(shots=str(shots)) if len(val) else None


def draw_rows(images: MultiLabelImages, shots: int, seed: int) -> tuple[Rows, Rows]:
    """What :func:`draw_shots` draws, as ascending numbers of pictures; its arguments and errors."""
    if shots < 1:
        raise UserError(f"shots={shots} leaves nothing to learn from; give 1 or more, or none for all pictures")
    rng = seeded(seed, _STREAM)
    pools = [rng.permutation(np.flatnonzero(column)) for column in (images.targets == PRESENT).T]
    train = _union(pool[:shots] for pool in pools)
    if not len(train):
        raise UserError(f"{images.name}: no picture has a class that is known to be present, so no shots can be drawn")
    left = [pool[~np.isin(pool, train)] for pool in pools]
    return train, _union(pool[: min(shots, MAX_VAL_SHOTS)] for pool in left)


def note_few(images: MultiLabelImages, shots: int) -> Sequence[str]:
    """A line that names the classes with fewer pictures than ``shots``; nothing where all have enough."""
    counts = (images.targets == PRESENT).sum(axis=0).tolist()
    few = [f"{name} ({n})" for name, n in zip(images.classnames, counts, strict=True) if n < shots]
    return [f"{images.name}: fewer than {counted(shots, 'picture')}, all of them taken: {listed(few)}"][: len(few)]


def _union(drawn: Iterable[Rows]) -> Rows:
    rows: Rows = np.unique(np.concatenate(list(drawn)))
    return rows

"""Whether the known labels of pictures can teach a method, and can tell one epoch from another."""

from __future__ import annotations

from clipprompt.datasets import MultiLabelImages
from clipprompt.datasets.images import ABSENT, PRESENT
from clipprompt.errors import UserError
from clipprompt.learners import PairLearner, learner_class
from clipprompt.printable import counted
from clipprompt.training.image_data import Pictures


def check_told_apart(images: MultiLabelImages, method: str) -> None:
    """Refuses labels of which nothing is absent, where a method cannot learn without.

    Raises:
        UserError: if every label is present, or none is absent and the method tells classes apart.
    """
    if (images.targets == ABSENT).any():
        return
    if (images.targets == PRESENT).all():
        names = ", ".join(images.classnames[:3])
        raise UserError(f"{images.name}: every picture has every class ({names}), so there is nothing to tell apart")
    if not issubclass(learner_class(method), PairLearner):
        raise UserError(
            f"{images.name}: no class is known to be absent from a picture, and {method} learns by telling classes "
            "apart; let more labels be known, or take a method that asks for each class by itself, such as dualcoop"
        )


def check_selects(held: Pictures, select: str) -> None:
    """Refuses held-out pictures whose known labels rank nothing, which would keep any epoch.

    Raises:
        UserError: if there is no class to rank them by.
    """
    labels = held.images.targets[held.samples]
    told_apart = (labels == PRESENT).any(axis=0) & ((labels == ABSENT).any(axis=0) | (select == "val_loss"))
    if not told_apart.any():
        raise UserError(
            f"{held.images.name}: of {counted(len(held), 'picture')} held out, no class is known to be in one and not "
            "in another, so they select no epoch; let more labels be known, hold out more, or take train.select=last"
        )


def is_single_label(images: MultiLabelImages) -> bool:
    """Whether every image has exactly one class, and nothing is unknown."""
    targets = images.targets
    return bool(((targets == PRESENT).sum(axis=1) == 1).all() and (targets >= ABSENT).all())

"""One line of ``results.jsonl`` of the protocol ``visual-tuning``: what else its comparison needs."""

from __future__ import annotations

from typing import Any, TypedDict

from clipprompt.evaluation.job_tests.one_class_records import ClassificationRecord


class GridPoint(TypedDict):
    """Settings that were tried.

    Attributes:
        settings: of the point, as ``{"train.lr": 0.1, "train.weight_decay": 0.0}``.
        accuracy: in 0..1, on val; None where the training diverged.
    """

    settings: dict[str, Any]
    accuracy: float | None


class Grid(TypedDict):
    """How settings were chosen.

    Attributes:
        chosen: those of the best point.
        accuracy: of it on val, in 0..1.
        seed: by which all points were learnt.
        points: all of them, in the order of the grid.
    """

    chosen: dict[str, Any]
    accuracy: float
    seed: int
    points: list[GridPoint]


class TuningRecord(ClassificationRecord):
    """One evaluation; ``method`` is the variant, such as vpt-deep.

    Attributes:
        learner: that the variant is of, such as vpt_head.
        group: of the tested set: fgvc, natural, specialized or structured; None of other sets.
        n_parameters: numbers that were learnt and are saved.
        backbone_parameters: numbers of the image tower as it is without what was learnt.
        n_train: pictures that were learnt from.
        share: part of the training pictures that was drawn; None for all of them.
        grid: how settings were chosen; None where they were given.
    """

    learner: str
    group: str | None
    n_parameters: int
    backbone_parameters: int
    n_train: int
    share: float | None
    grid: Grid | None

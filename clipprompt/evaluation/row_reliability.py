"""How reliable the probabilities of rows are: the bins of a reliability plot for each, calibrated ones first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from clipprompt.evaluation.calibration_error import Reliability, reliability
from clipprompt.evaluation.measures import sigmoid
from clipprompt.evaluation.multilabel import Row, ScoredRows, measured, title


@dataclass(frozen=True)
class RowReliability:
    """One row of a table.

    Attributes:
        row: its title.
        probabilities: as in its record: ``calibrated``, or ``sigmoid`` of the scores.
        bins: of all known pairs.
    """

    row: str
    probabilities: str
    bins: Reliability


def row_reliabilities(
    scored: ScoredRows, branches: Sequence[str] | None, most: int
) -> tuple[list[RowReliability], list[str]]:
    """The bins of at most so many rows, and the titles of the others.

    Rows that are calibrated are first, then other prompts, then zero-shot CLIP; rows of a kind keep their order.

    Args:
        scored: of :func:`clipprompt.evaluation.multilabel.score_rows`.
        branches: as of :func:`clipprompt.evaluation.multilabel.measure_rows`.
        most: rows at most.
    """
    every = list(measured(scored, branches))
    names = _titles([(row, branch) for row, _, branch in every])
    rank = [(branch not in scores.probabilities, row.source is None) for row, scores, branch in every]
    taken = sorted(range(len(every)), key=rank.__getitem__)[:most]
    found = []
    for place in taken:
        _, scores, branch = every[place]
        if branch in scores.probabilities:
            kind, values = "calibrated", scores.probabilities[branch]
        else:
            kind, values = "sigmoid", sigmoid(scores.by_branch[branch])
        found.append(RowReliability(names[place], kind, reliability(values, scores.targets)))
    return found, [name for place, name in enumerate(names) if place not in taken]


def _titles(shown: Sequence[tuple[Row, str]]) -> list[str]:
    """What tables call the rows; of several runs of one row also the seed."""
    names = [title(row.learner.name, branch, row.variant) for row, branch in shown]
    times = Counter(names)
    return [
        f"{name}, seed {row.seed}" if times[name] > 1 and row.seed is not None else name
        for name, (row, _) in zip(names, shown, strict=True)
    ]

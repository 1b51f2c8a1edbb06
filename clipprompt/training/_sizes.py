"""What a task costs on disk beside the backbone that all tasks share."""

from __future__ import annotations

from pathlib import Path

from clipprompt.learners import Learner
from clipprompt.learners._saving import WEIGHTS
from clipprompt.printable import sized

_FLOAT32 = 4


def describe_sizes(learner: Learner, folder: Path) -> str:
    """What was saved and what part of the backbone it is, whose weights are counted as float32.

    Args:
        learner: as it was saved.
        folder: the prompt folder.

    Returns:
        One line, such as "Saved 370 kB (92,260 numbers), 0.11 % of the backbone's 345 MB".
    """
    saved = (folder / WEIGHTS).stat().st_size
    whole = _FLOAT32 * learner.backbone.n_parameters
    percent = 100 * saved / whole
    share = f"{percent:.0f}" if percent >= 10 else f"{percent:.2g}" if percent >= 0.01 else "under 0.01"
    numbers = f"{learner.n_parameters:,} number{'' if learner.n_parameters == 1 else 's'}"
    return f"Saved {sized(saved)} ({numbers}), {share} % of the backbone's {sized(whole)}"

"""Expected calibration error: how far probabilities are from how often they come true.

    ECE = sum over bins b of  n_b / n x | share of positives in b - mean probability in b |

(Guo et al. 2017, arXiv 1706.04599, equation 5, with 15 bins of equal width.) There, the confidence is that of the best
of several exclusive classes. Here every known (image, class) pair is one yes-or-no question, and its probability is
that of yes, as for a binary classifier: all pairs share the bins, so frequent classes weigh as they occur.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from clipprompt.errors import UserError
from clipprompt.evaluation.metrics import ScoreMatrix, TargetMatrix, check_pairs

N_BINS = 15


class Reliability(NamedTuple):
    """All known pairs in bins of equal width, (n_bins,) each.

    Attributes:
        counts: pairs in each.
        positives: those of them that are present.
        probabilities: the sum of their probabilities.
    """

    counts: npt.NDArray[np.int64]
    positives: npt.NDArray[np.float64]
    probabilities: npt.NDArray[np.float64]

    @property
    def error(self) -> float:
        """The expected calibration error in 0..1: n_b / n x |share - mean| = |positives - probabilities| / n."""
        return float(np.abs(self.positives - self.probabilities).sum() / self.counts.sum())


def calibration_error(probabilities: ScoreMatrix, targets: TargetMatrix, n_bins: int = N_BINS) -> float:
    """Expected calibration error in 0..1 over all known pairs.

    (torchmetrics' ``binary_calibration_error`` puts a probability of exactly 1 into a bin of its own; large logits
    make many of these.)

    Args:
        probabilities: (N, C) in 0..1.
        targets: (N, C) of 1 present, 0 absent, -1 unknown.
        n_bins: bins of equal width; as in the paper, a bin holds its upper edge.

    Raises:
        UserError: if the shapes differ, a value is not a probability, or no label is known.
    """
    return reliability(probabilities, targets, n_bins).error


def reliability(probabilities: ScoreMatrix, targets: TargetMatrix, n_bins: int = N_BINS) -> Reliability:
    """The bins of :func:`calibration_error`; arguments and errors are its own."""
    check_pairs(probabilities, targets)
    known = targets != -1
    chosen, positive = probabilities[known].astype(np.float64), targets[known] == 1
    if not chosen.size:
        raise UserError("no label is known, so there is no calibration error")
    if chosen.min() < 0 or chosen.max() > 1:
        raise UserError(f"probabilities lie in 0..1; these go from {chosen.min():g} to {chosen.max():g}")
    inner_edges = np.linspace(0, 1, n_bins + 1)[1:-1]
    bins = np.digitize(chosen, inner_edges, right=True)
    sums = (np.bincount(bins, weights=values, minlength=n_bins) for values in (positive, chosen))
    # With weights they are float64 already, which numpy's annotations do not say.
    return Reliability(np.bincount(bins, minlength=n_bins), *(np.asarray(one, dtype=np.float64) for one in sums))

"""Which labels are given: the best ones, those above a threshold, or none of these."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from clipprompt.errors import UserError
from clipprompt.inference.calibration import Calibration

Threshold = float | Literal["auto"] | None


def thresholds_for(
    threshold: Threshold, calibration: Calibration | None, classnames: Sequence[str]
) -> npt.NDArray[np.float64] | None:
    """The least value (C,) of each label: of probabilities where there is a calibration, else of scores.

    Args:
        threshold: one number for all labels; ``auto`` for those of the calibration; None for ``auto`` where there is a
            calibration, and else no threshold.
        calibration: of the prompt.
        classnames: C names.

    Raises:
        UserError: for ``auto`` without a calibration, or a number that no probability reaches.
    """
    if threshold is None and calibration is None:
        return None
    if threshold is None or threshold == "auto":
        if calibration is None:
            raise UserError(
                "threshold auto needs a calibration; make one with `clipprompt calibrate`, or give a number"
            )
        return calibration.thresholds(classnames)
    if isinstance(threshold, str) or not np.isfinite(threshold):
        raise UserError(f"threshold {threshold!r} is neither a number nor auto")
    if calibration is not None and not 0 <= threshold <= 1:
        raise UserError(f"threshold {threshold:g}: these prompts give probabilities, so it lies between 0 and 1")
    return np.full(len(classnames), float(threshold))


def chosen(values: npt.NDArray[Any], thresholds: npt.NDArray[np.float64] | None, top_k: int) -> list[list[int]]:
    """For each row of (B, C) values the columns of at most ``top_k`` labels, best first, none below its threshold."""
    order = np.argsort(-values, axis=1, kind="stable")[:, :top_k]
    if thresholds is None:
        return [row.tolist() for row in order]
    kept = values >= thresholds
    return [[column for column in row.tolist() if keep[column]] for row, keep in zip(order, kept, strict=True)]

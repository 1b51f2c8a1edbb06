"""Which labels are given (the best ones, those above a threshold, or none of these), and how certain each is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from clipprompt.errors import UserError
from clipprompt.inference._tags import Answer
from clipprompt.inference.calibration import Calibration

Threshold = float | Literal["auto"] | None


def thresholds_for(
    threshold: Threshold, calibration: Calibration | None, classnames: Sequence[str], *, uncertain: bool = False
) -> npt.NDArray[np.float64] | None:
    """The least value (C,) of each label: of probabilities where there is a calibration, else of scores.

    Args:
        threshold: one number for all labels; ``auto`` for those of the calibration; None for ``auto`` where there is a
            calibration, and else no threshold.
        calibration: of the prompt.
        classnames: C names.
        uncertain: also what lies below the calibrated threshold and cannot be excluded.

    Raises:
        UserError: for ``auto`` without a calibration, a number that no probability reaches, or uncertain labels where
            nothing says which these are.
    """
    if uncertain:
        return _least_uncertain(threshold, calibration, classnames)
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


def answers(values: npt.NDArray[Any], bands: tuple[npt.NDArray[Any], npt.NDArray[Any]]) -> list[list[Answer]]:
    """The answers to (B, C) probabilities, by the bands of :meth:`Calibration.bands`."""
    below, above = bands
    words: tuple[Answer, ...] = ("no", "uncertain", "yes")
    return [[words[level] for level in row] for row in ((values >= below) * 1 + (values >= above)).tolist()]


def chosen(values: npt.NDArray[Any], thresholds: npt.NDArray[np.float64] | None, top_k: int) -> list[list[int]]:
    """For each row of (B, C) values the columns of at most ``top_k`` labels, best first, none below its threshold."""
    order = np.argsort(-values, axis=1, kind="stable")[:, :top_k]
    if thresholds is None:
        return [row.tolist() for row in order]
    kept = values >= thresholds
    return [[column for column in row.tolist() if keep[column]] for row, keep in zip(order, kept, strict=True)]


def _least_uncertain(
    threshold: Threshold, calibration: Calibration | None, classnames: Sequence[str]
) -> npt.NDArray[np.float64]:
    if calibration is None:
        raise UserError("uncertain labels need a calibration; make one with `clipprompt calibrate`")
    if threshold not in (None, "auto"):
        raise UserError(f"uncertain labels go with the calibrated thresholds, and not with the threshold {threshold}")
    bands = calibration.bands(classnames)
    if bands is None:
        raise UserError(
            "this calibration is of an older version and does not say what is uncertain; "
            "make it again with `clipprompt calibrate`"
        )
    return bands[0]

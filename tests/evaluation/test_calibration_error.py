from __future__ import annotations

import numpy as np
import pytest
import torch
from torchmetrics.functional.classification import binary_calibration_error

from clipprompt.errors import UserError
from clipprompt.evaluation.calibration_error import calibration_error


def draw(seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.random((50, 4)), rng.choice([1, 0, -1], size=(50, 4), p=[0.3, 0.5, 0.2])


def slow(probabilities: np.ndarray, targets: np.ndarray, n_bins: int) -> float:
    """Equation 5, bin by bin; a bin holds its upper edge, and the first one 0."""
    known = targets != -1
    p, y = probabilities[known], targets[known] == 1
    error = 0.0
    for index in range(n_bins):
        inside = (p > index / n_bins) & (p <= (index + 1) / n_bins) | ((index == 0) & (p == 0))
        if inside.any():
            error += inside.mean() * abs(y[inside].mean() - p[inside].mean())
    return float(error)


@pytest.mark.parametrize("n_bins", [1, 5, 15])
@pytest.mark.parametrize("seed", range(3))
def test_equals_the_definition(seed: int, n_bins: int) -> None:
    probabilities, targets = draw(seed)
    assert calibration_error(probabilities, targets, n_bins) == pytest.approx(slow(probabilities, targets, n_bins))


def test_is_that_of_torchmetrics_where_no_probability_is_on_an_edge() -> None:
    probabilities, targets = draw(3)
    theirs = binary_calibration_error(torch.from_numpy(probabilities), torch.from_numpy(targets), 15, ignore_index=-1)
    assert calibration_error(probabilities, targets) == pytest.approx(float(theirs))


def test_probability_of_1_shares_the_last_bin() -> None:
    probabilities, targets = np.array([[1.0, 0.95]]), np.array([[0, 1]])
    assert calibration_error(probabilities, targets) == pytest.approx(abs(0.5 - 0.975))


@pytest.mark.parametrize(("value", "label", "expected"), [(0.0, 0, 0.0), (1.0, 1, 0.0), (1.0, 0, 1.0), (0.25, 0, 0.25)])
def test_of_one_pair_it_is_the_distance(value: float, label: int, expected: float) -> None:
    assert calibration_error(np.array([[value]]), np.array([[label]])) == pytest.approx(expected)


def test_the_share_of_positives_as_every_probability_is_perfect() -> None:
    assert calibration_error(np.full((4, 1), 0.25), np.array([[1], [0], [0], [0]])) == 0.0


def test_unknown_pairs_are_left_out() -> None:
    probabilities, targets = draw(4)
    moved = np.where(targets == -1, 1 - probabilities, probabilities)
    assert calibration_error(moved, targets) == calibration_error(probabilities, targets)


@pytest.mark.parametrize(
    ("value", "label", "message"),
    [(1.5, 1, r"lie in 0\.\.1; these go from 1.5 to 1.5"), (0.5, -1, "no label is known"), (np.nan, 1, "is nan")],
)
def test_what_has_no_error_is_refused(value: float, label: int, message: str) -> None:
    with pytest.raises(UserError, match=message):
        calibration_error(np.array([[value]]), np.array([[label]]))

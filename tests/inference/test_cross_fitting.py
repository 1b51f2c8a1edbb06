from __future__ import annotations

import numpy as np
import pytest

from clipprompt.errors import UserError
from clipprompt.evaluation.calibration_error import calibration_error
from clipprompt.inference._cross_fitting import cross_fitted


def sample(n: int = 400) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    present = (rng.random((n, 6)) < 0.3).astype(np.int8)
    return rng.normal(size=(n, 6)) + 2 * present, present


OWN = np.arange(6)


def test_a_sample_says_nothing_about_its_own_probability() -> None:
    scores, targets = sample()
    flipped = targets.copy()
    flipped[7] = 1 - flipped[7]
    found, other = cross_fitted(scores, targets, OWN), cross_fitted(scores, flipped, OWN)
    assert np.array_equal(found[7], other[7])
    assert not np.allclose(found, other, atol=1e-6, rtol=0)


def test_probabilities_come_true() -> None:
    scores, targets = sample(2000)
    found = cross_fitted(scores, targets, OWN)
    assert ((found > 0) & (found < 1)).all()
    assert calibration_error(found, targets) < 0.05


def test_unknown_labels_are_left_out() -> None:
    scores, targets = sample()
    targets[::2, :3] = -1
    moved = np.where(targets == -1, 0, targets)
    assert not np.allclose(cross_fitted(scores, targets, OWN), cross_fitted(scores, moved, OWN), atol=1e-6)


@pytest.mark.parametrize("value", [0, 1])
def test_too_few_labels_are_told(value: int) -> None:
    scores, _ = sample(20)
    targets = np.full((20, 6), value, dtype=np.int8)
    targets[3, 2] = 1 - value
    scores[3, 2] = 9 - 18 * value
    with pytest.raises(UserError, match="too few of the 20 samples have known labels"):
        cross_fitted(scores, targets, OWN)

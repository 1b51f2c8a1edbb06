from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from clipprompt.errors import UserError
from clipprompt.evaluation.metrics import average_precision


def draw(seed: int, *, n_levels: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Random scores and labels in {1, 0, -1}; few levels make many ties."""
    rng = np.random.default_rng(seed)
    scores = rng.normal(size=(40, 6)) if not n_levels else rng.integers(0, n_levels, (40, 6)).astype(np.float64)
    targets = rng.choice([1, 0, -1], size=(40, 6), p=[0.3, 0.5, 0.2]).astype(np.int8)
    return scores, targets


def brute_force(scores: np.ndarray, targets: np.ndarray) -> float:
    """The definition, threshold by threshold."""
    known = targets != -1
    scores, labels = scores[known], targets[known] == 1
    area = recall = 0.0
    for threshold in sorted(set(scores), reverse=True):
        taken = scores >= threshold
        hits = (taken & labels).sum()
        area += (hits / labels.sum() - recall) * hits / taken.sum()
        recall = hits / labels.sum()
    return float(area)


def test_agrees_with_the_reference_where_definitions_do(golden: Callable[[str], dict[str, torch.Tensor]]) -> None:
    # The reference counts -1 as a negative, and a class without positives as 0 in the mean.
    reference = {key: value.numpy() for key, value in golden("map_synthetic").items()}
    result = average_precision(reference["scores"], np.maximum(reference["targets"], 0))
    positives = (reference["targets"] == 1).any(axis=0)
    assert [value is not None for value in result.per_class] == positives.tolist()
    ours = [0.0 if value is None else value for value in result.per_class]
    np.testing.assert_allclose(ours, reference["ap"], atol=1e-6)
    assert 100 * np.mean(ours) == pytest.approx(float(reference["mAP"]), abs=1e-4)
    assert result.mean == pytest.approx(float(reference["ap"][positives].mean()), abs=1e-6)


@pytest.mark.parametrize("n_levels", [0, 2, 5])
@pytest.mark.parametrize("seed", range(3))
def test_equals_the_definition(seed: int, n_levels: int) -> None:
    scores, targets = draw(seed, n_levels=n_levels)
    expected = [brute_force(scores[:, column], targets[:, column]) for column in range(scores.shape[1])]
    result = average_precision(scores, targets)
    np.testing.assert_allclose(np.array(result.per_class, dtype=float), expected, atol=1e-6)
    assert result.mean == pytest.approx(np.mean(expected), abs=1e-6)


@pytest.mark.parametrize("n_levels", [0, 3])
def test_order_of_the_images_does_not_matter(n_levels: int) -> None:
    scores, targets = draw(1, n_levels=n_levels)
    order = np.random.default_rng(5).permutation(len(scores))
    assert average_precision(scores[order], targets[order]) == average_precision(scores, targets)


@pytest.mark.parametrize(
    "change", [lambda s: 300 * s, lambda s: s / 300 - 7, np.exp, lambda s: s.astype(np.float64) ** 3]
)
def test_only_the_order_of_scores_matters(change: Callable[[np.ndarray], np.ndarray]) -> None:
    scores, targets = draw(2)
    assert average_precision(change(scores), targets) == average_precision(scores, targets)


def test_large_logits_do_not_saturate() -> None:
    scores = np.array([[101.0], [100.0], [99.0], [98.0]], dtype=np.float32)
    targets = np.array([[1], [0], [1], [0]], dtype=np.int8)
    assert average_precision(scores, targets).mean == pytest.approx((1 + 2 / 3) / 2, abs=1e-6)


def test_constant_scores_give_the_share_of_positives() -> None:
    targets = np.array([[1], [0], [0], [1], [0]], dtype=np.int8)
    assert average_precision(np.zeros((5, 1)), targets).mean == pytest.approx(0.4, abs=1e-6)


def test_unknown_entries_are_left_out() -> None:
    scores, targets = draw(3)
    kept = targets[:, 0] != -1
    moved = scores.copy()
    moved[~kept, 0] = 99.0
    alone = average_precision(scores[kept][:, :1], targets[kept][:, :1])
    assert average_precision(moved, targets).per_class[0] == alone.mean


def test_class_without_a_positive_is_none_and_not_in_the_mean() -> None:
    scores, targets = draw(4)
    targets[:, 2] = np.minimum(targets[:, 2], 0)
    result = average_precision(scores, targets)
    assert result.per_class[2] is None
    assert result.mean == pytest.approx(np.mean([value for value in result.per_class if value is not None]))


def test_set_without_any_positive_is_refused() -> None:
    with pytest.raises(UserError, match="no class has a positive"):
        average_precision(np.zeros((3, 2)), np.array([[0, 0], [-1, 0], [0, 0]]))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_score_that_is_not_finite_is_refused(value: float) -> None:
    scores, targets = draw(0)
    scores[3, 1] = value
    with pytest.raises(UserError, match=f"image 3 for class 1 is {value}"):
        average_precision(scores, targets)


def test_shapes_that_differ_are_refused() -> None:
    with pytest.raises(UserError, match="must both be"):
        average_precision(np.zeros((3, 2)), np.zeros((2, 3), dtype=np.int8))

from __future__ import annotations

import statistics

import numpy as np
import numpy.typing as npt
import pytest

from clipprompt.evaluation.accuracy import accuracy, harmonic_mean, per_class_accuracy, predictions

SEEDS = range(20)


def _drawn(seed: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """Scores of some pictures, few enough values that there are ties, and labels."""
    rng = np.random.default_rng(seed)
    n_images, n_classes = int(rng.integers(1, 60)), int(rng.integers(1, 12))
    scores = rng.integers(0, 50, (n_images, n_classes)).astype(np.float32)
    return scores, rng.integers(0, n_classes, n_images)


@pytest.mark.parametrize("seed", SEEDS)
def test_accuracy_is_the_part_of_the_pictures_that_a_loop_counts(seed: int) -> None:
    scores, labels = _drawn(seed)
    n_right = sum(
        max(range(len(row)), key=lambda c: row[c]) == label for row, label in zip(scores, labels, strict=True)
    )
    assert accuracy(predictions(scores), labels) == n_right / len(labels)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_order_of_the_classes_does_not_matter(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.standard_normal((50, 9)).astype(np.float32)  # without ties
    labels, order = rng.integers(0, 9, 50), rng.permutation(9)
    place = np.argsort(order)
    before, after = predictions(scores), predictions(scores[:, order])
    assert accuracy(after, place[labels]) == accuracy(before, labels)
    by_class = per_class_accuracy(before, labels, 9)
    assert per_class_accuracy(after, place[labels], 9) == [by_class[label] for label in order]


@pytest.mark.parametrize("seed", SEEDS)
def test_accuracy_is_the_mean_over_classes_weighted_by_their_pictures(seed: int) -> None:
    scores, labels = _drawn(seed)
    predicted, n_classes = predictions(scores), scores.shape[1]
    by_class = per_class_accuracy(predicted, labels, n_classes)
    counts = np.bincount(labels, minlength=n_classes)
    assert [value is None for value in by_class] == (counts == 0).tolist()
    weighted = sum(value * n for value, n in zip(by_class, counts, strict=True) if value is not None)
    assert accuracy(predicted, labels) == pytest.approx(weighted / len(labels), rel=1e-15)


@pytest.mark.parametrize("seed", SEEDS)
def test_base_and_novel_pictures_make_up_the_accuracy_of_all(seed: int) -> None:
    scores, labels = _drawn(seed)
    predicted, n_base = predictions(scores), (scores.shape[1] + 1) // 2
    parts = [labels < n_base, labels >= n_base]
    right = sum(accuracy(predicted[part], labels[part]) * part.sum() for part in parts if part.any())
    assert accuracy(predicted, labels) == pytest.approx(right / len(labels), rel=1e-15)


def test_ties_go_to_the_first_class() -> None:
    assert predictions(np.array([[1.0, 2.0, 2.0], [0.0, 0.0, 0.0]])).tolist() == [1, 0]


def test_a_class_without_pictures_has_no_accuracy() -> None:
    assert per_class_accuracy(np.array([0, 0, 2]), np.array([0, 2, 2]), 4) == [1.0, None, 0.5, None]


def test_accuracy_is_over_pictures_and_not_over_classes() -> None:
    predicted, labels = np.zeros(10, dtype=np.int64), np.array([0] * 9 + [1])
    assert accuracy(predicted, labels) == 0.9
    assert per_class_accuracy(predicted, labels, 2) == [1.0, 0.0]


@pytest.mark.parametrize("seed", SEEDS)
def test_the_harmonic_mean_is_that_of_the_standard_library(seed: int) -> None:
    base, novel = np.random.default_rng(seed).random(2).tolist()
    assert harmonic_mean(base, novel) == pytest.approx(statistics.harmonic_mean([base, novel]), rel=1e-14)
    assert min(base, novel) <= harmonic_mean(base, novel) <= (base + novel) / 2


@pytest.mark.parametrize(
    ("base", "novel", "published"),
    [(69.34, 74.22, 71.70), (82.69, 63.22, 71.66), (80.47, 71.69, 75.83)],
    ids=["CLIP", "CoOp", "CoCoOp"],
)
def test_the_harmonic_mean_of_published_averages_is_the_published_one(
    base: float, novel: float, published: float
) -> None:
    assert round(harmonic_mean(base, novel), 2) == published


def test_one_accuracy_of_zero_makes_the_harmonic_mean_zero() -> None:
    assert harmonic_mean(0.0, 0.9) == harmonic_mean(0.9, 0.0) == harmonic_mean(0.0, 0.0) == 0.0


@pytest.mark.parametrize(
    ("predicted", "labels"), [([], []), ([0, 1], [0]), ([0], [])], ids=["no picture", "more predictions", "no label"]
)
def test_what_has_no_accuracy_is_an_error(predicted: list[int], labels: list[int]) -> None:
    with pytest.raises(ValueError, match="have no accuracy"):
        accuracy(np.array(predicted, dtype=np.int64), np.array(labels, dtype=np.int64))

from __future__ import annotations

import numpy as np
import pytest
import torch
from torchmetrics.functional.classification import multilabel_precision, multilabel_recall

from clipprompt.errors import UserError
from clipprompt.evaluation.f1 import F1, f1, top_k


def draw(seed: int, n_classes: int = 6) -> tuple[np.ndarray, np.ndarray]:
    """Random decisions, and labels in {1, 0, -1} with a positive in every class."""
    rng = np.random.default_rng(seed)
    targets = rng.choice([1, 0, -1], size=(40, n_classes), p=[0.3, 0.5, 0.2]).astype(np.int8)
    return rng.random((40, n_classes)) < 0.4, targets


def slow(taken: np.ndarray, targets: np.ndarray) -> F1:
    """The definition, pair by pair."""
    hit, picked, present = (np.zeros(targets.shape[1]) for _ in range(3))
    for image, column in np.ndindex(targets.shape):
        if targets[image, column] != -1:
            picked[column] += taken[image, column]
            present[column] += targets[image, column]
            hit[column] += taken[image, column] and targets[image, column]
    cp = np.mean([h / p if p else 0.0 for h, p, n in zip(hit, picked, present, strict=True) if n])
    cr = np.mean([h / n for h, n in zip(hit, present, strict=True) if n])
    op, recall = hit.sum() / max(picked.sum(), 1), hit.sum() / present.sum()
    cf1, of1 = (2 * p * r / (p + r) if p + r else 0.0 for p, r in ((cp, cr), (op, recall)))
    return {"CP": float(cp), "CR": float(cr), "CF1": float(cf1), "OP": op, "OR": recall, "OF1": of1}


@pytest.mark.parametrize("n_classes", [1, 2, 6])
@pytest.mark.parametrize("seed", range(4))
def test_equals_the_definition(seed: int, n_classes: int) -> None:
    taken, targets = draw(seed, n_classes)
    assert f1(taken, targets) == pytest.approx(slow(taken, targets))


def test_averages_are_those_of_torchmetrics() -> None:
    taken, targets = draw(7)
    preds, labels = torch.from_numpy(taken.astype(int)), torch.from_numpy(targets.astype(int))
    how = {"num_labels": 6, "average": "none", "ignore_index": -1}
    result = f1(taken, targets)
    assert result["CP"] == pytest.approx(float(multilabel_precision(preds, labels, **how).mean()), abs=1e-6)
    assert result["CR"] == pytest.approx(float(multilabel_recall(preds, labels, **how).mean()), abs=1e-6)
    assert result["CF1"] == pytest.approx(2 * result["CP"] * result["CR"] / (result["CP"] + result["CR"]))


def test_unknown_pairs_count_nowhere() -> None:
    taken, targets = draw(1)
    assert f1(taken ^ (targets == -1), targets) == f1(taken, targets)


def test_perfect_decisions_are_one_and_none_are_zero() -> None:
    _, targets = draw(2)
    assert set(f1(targets == 1, targets).values()) == {1.0}
    assert set(f1(np.zeros(targets.shape, dtype=bool), targets).values()) == {0.0}


def test_class_that_is_never_taken_has_precision_0() -> None:
    targets = np.array([[1, 1], [0, 0]])
    taken = np.array([[True, False], [False, False]])
    assert f1(taken, targets) == pytest.approx({"CP": 0.5, "CR": 0.5, "CF1": 0.5, "OP": 1.0, "OR": 0.5, "OF1": 2 / 3})


def test_class_without_a_positive_is_in_no_average_but_its_false_labels_count_overall() -> None:
    targets = np.array([[1, 0], [1, 0]])
    result = f1(np.array([[True, True], [True, False]]), targets)
    assert (result["CP"], result["CR"]) == (1.0, 1.0)
    assert result["OP"] == pytest.approx(2 / 3)


def test_set_without_any_positive_is_refused() -> None:
    with pytest.raises(UserError, match="no class has a positive image, so there is no F1"):
        f1(np.ones((2, 2), dtype=bool), np.array([[0, -1], [0, 0]]))


def test_top_k_takes_the_best_of_every_image() -> None:
    scores = np.array([[1.0, 4.0, 2.0, 3.0], [-1.0, -2.0, -3.0, -4.0]])
    taken = top_k(scores, np.zeros((2, 4), dtype=np.int8), 2)
    assert taken.tolist() == [[False, True, False, True], [True, True, False, False]]


def test_unknown_labels_do_not_use_up_a_place() -> None:
    taken = top_k(np.array([[9.0, 8.0, 7.0, 6.0]]), np.array([[-1, 0, 1, 0]]), 2)
    assert taken.tolist() == [[False, True, True, False]]


def test_of_equal_scores_the_earlier_class_is_taken() -> None:
    assert top_k(np.zeros((1, 5)), np.zeros((1, 5), dtype=np.int8), 3).tolist() == [[True] * 3 + [False] * 2]


@pytest.mark.parametrize(("targets", "expected"), [([[0, 1]], [[True, True]]), ([[-1, 1]], [[False, True]])])
def test_image_with_fewer_known_labels_gets_them_all(targets: list[list[int]], expected: list[list[bool]]) -> None:
    assert top_k(np.array([[0.0, 1.0]]), np.array(targets), 3).tolist() == expected


@pytest.mark.parametrize("seed", range(3))
def test_every_image_gets_exactly_k_known_labels(seed: int) -> None:
    _, targets = draw(seed, 9)
    scores = np.random.default_rng(seed).integers(0, 3, targets.shape).astype(float)
    taken = top_k(scores, targets)
    assert taken.sum(axis=1).tolist() == np.minimum(3, (targets != -1).sum(axis=1)).tolist()
    lowest = np.where(taken, scores, np.inf).min(axis=1)
    assert (np.where(taken | (targets == -1), -np.inf, scores).max(axis=1) <= lowest).all()

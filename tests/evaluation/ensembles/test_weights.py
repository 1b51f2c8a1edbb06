from __future__ import annotations

import time
from itertools import permutations, product

import numpy as np
import pytest

from clipprompt.errors import UserError
from clipprompt.evaluation.combine import ensemble
from clipprompt.evaluation.ensembles.weights import _grid, choose_weights, fit_ensemble, given_ensemble
from clipprompt.evaluation.metrics import average_precision
from clipprompt.evaluation.normalise import min_max


def draw(n_members: int, seed: int = 0, n_images: int = 60, n_classes: int = 5) -> tuple[list[np.ndarray], np.ndarray]:
    """Members that each see the truth through noise of their own, and labels of which a part is unknown."""
    rng = np.random.default_rng(seed)
    truth = (rng.random((n_images, n_classes)) < 0.3).astype(np.int8)
    noise = rng.normal(size=(n_members, n_images, n_classes)) * rng.uniform(0.5, 2, (n_members, 1, 1))
    targets = np.where(rng.random(truth.shape) < 0.3, -1, truth).astype(np.int8)
    return [scale * (truth + one) + 7 for scale, one in zip((1, 30, 0.01, 5), noise, strict=False)], targets


def quality(matrices: list[np.ndarray], targets: np.ndarray, weights: tuple[float, ...]) -> float:
    return average_precision(ensemble(matrices, weights), targets).mean


@pytest.mark.parametrize("seed", range(4))
def test_no_step_of_the_grid_is_better_for_two_members(seed: int) -> None:
    matrices, targets = draw(2, seed)
    best = quality(matrices, targets, choose_weights(matrices, targets))
    assert all(best >= quality(matrices, targets, (step / 20, 1 - step / 20)) - 1e-12 for step in range(21))


@pytest.mark.parametrize("n_members", [3, 4])
def test_no_step_of_the_grid_is_better_for_several_members(n_members: int) -> None:
    matrices, targets = draw(n_members, 1)
    best = quality(matrices, targets, choose_weights(matrices, targets))
    points = [point for point in product(range(11), repeat=n_members) if sum(point) == 10]
    assert all(best >= quality(matrices, targets, point) - 1e-12 for point in points)


@pytest.mark.parametrize("n_members", [1, 2, 3, 4, 5, 7, 24, 40])
def test_grid_holds_each_member_alone_and_all_equally_and_stays_small(n_members: int) -> None:
    grid = _grid(n_members)
    assert {tuple(row) for row in np.eye(n_members).tolist()} <= set(grid)
    assert grid[0] == (1 / n_members,) * n_members
    assert len(set(grid)) == len(grid) <= 301
    np.testing.assert_allclose(np.sum(grid, axis=1), 1)


@pytest.mark.parametrize("n_members", [2, 3])
def test_permuting_members_permutes_weights(n_members: int) -> None:
    matrices, targets = draw(n_members, 2)
    weights = choose_weights(matrices, targets)
    for order in permutations(range(n_members)):
        assert choose_weights([matrices[i] for i in order], targets) == tuple(weights[i] for i in order)


@pytest.mark.parametrize(("factor", "shift"), [(8.0, 0.0), (1 / 1024, 3.0), (300.0, -40.0)])
def test_scale_of_a_member_changes_nothing(factor: float, shift: float) -> None:
    matrices, targets = draw(2, 3)
    changed = [factor * matrices[0] + shift, matrices[1]]
    assert choose_weights(changed, targets) == choose_weights(matrices, targets)
    one, other = fit_ensemble(matrices, targets, "val"), fit_ensemble(changed, targets, "val")
    np.testing.assert_allclose(one.combine(matrices), other.combine(changed), atol=1e-9)


def test_order_of_the_pictures_changes_nothing() -> None:
    matrices, targets = draw(2, 4)
    order = np.random.default_rng(0).permutation(len(targets))
    assert choose_weights([matrix[order] for matrix in matrices], targets[order]) == choose_weights(matrices, targets)


def test_a_member_that_knows_the_labels_beats_noise() -> None:
    rng = np.random.default_rng(0)
    targets = (rng.random((400, 6)) < 0.3).astype(np.int8)
    noise, truth = rng.normal(size=(400, 6)), targets + 0.4 * rng.normal(size=(400, 6))
    assert choose_weights([noise, truth], targets)[1] >= 0.8


def test_members_that_say_the_same_are_weighed_equally() -> None:
    matrices, targets = draw(1)
    assert choose_weights([matrices[0]] * 3, targets) == (1 / 3,) * 3


def test_a_constant_member_is_not_divided_by_zero() -> None:
    (matrix,), targets = draw(1)
    found = fit_ensemble([np.full(matrix.shape, 4.0), matrix], targets, "val")
    assert found.weights[1] > 0
    assert np.isfinite(found.combine([np.full(matrix.shape, 5.0), matrix])).all()


def test_scores_of_unknown_labels_do_not_count() -> None:
    matrices, targets = draw(2, 5)
    targets[:2, 0] = 1, 0
    for matrix in matrices:  # whose extremes are those of known labels
        matrix[:2, 0] = matrix.max() + 1, matrix.min() - 1
    rng = np.random.default_rng(0)
    others = [np.where(targets == -1, rng.uniform(m.min(), m.max(), m.shape), m) for m in matrices]
    assert fit_ensemble(others, targets, "val") == fit_ensemble(matrices, targets, "val")


def test_classes_that_tell_nothing_apart_do_not_count() -> None:
    matrices, targets = draw(2, 5)
    more = np.concatenate([targets, np.full((len(targets), 2), (0, 1))], axis=1)
    wide = [np.concatenate([m, np.full((len(m), 2), m.mean())], axis=1) for m in matrices]
    assert fit_ensemble(wide, more, "val") == fit_ensemble(matrices, targets, "val")


ONE_KIND = [np.full((4, 2), -1), np.zeros((4, 2)), np.array([[1, -1], [-1, 1], [1, -1], [-1, 1]])]


@pytest.mark.parametrize("targets", ONE_KIND, ids=["all unknown", "nothing present", "single positives"])
def test_labels_of_one_kind_choose_nothing(targets: np.ndarray) -> None:
    matrices = [np.random.default_rng(seed).normal(size=(4, 2)) for seed in (0, 1)]
    with pytest.raises(UserError, match="no class is known to be in one picture and not in another"):
        choose_weights(matrices, targets)
    found = fit_ensemble(matrices, targets, "mini:val", or_equal=True)
    assert found.weights == (0.5, 0.5)
    assert found.weights_by == "equal: the known labels of mini:val cannot tell weights apart"
    assert not found.is_transductive


def test_scores_do_not_depend_on_other_test_pictures() -> None:
    matrices, targets = draw(2, 6)
    found = fit_ensemble([m[:30] for m in matrices], targets[:30], "val")
    tested = [m[30:] for m in matrices]
    whole = found.combine(tested)
    assert not found.is_transductive
    for some in ([0], [3, 9, 4], list(range(10, 30))):
        assert np.array_equal(found.combine([m[some] for m in tested]), whole[some])


def test_given_weights_are_scaled_by_the_test_pictures_unless_there_are_others() -> None:
    matrices, targets = draw(2, 7)
    given = given_ensemble([1, 9], 2)
    assert given.is_transductive
    np.testing.assert_allclose(given.combine(matrices), 0.1 * min_max(matrices[0]) + 0.9 * min_max(matrices[1]))
    fixed = fit_ensemble(matrices, targets, "val", weights=[1, 9])
    assert (fixed.weights, fixed.weights_by) == ((0.1, 0.9), "given")
    assert np.array_equal(fixed.combine(matrices), given.combine(matrices))
    assert not fixed.is_transductive


def test_records_say_what_chose_the_weights() -> None:
    matrices, targets = draw(2)
    assert fit_ensemble(matrices, targets, "mini:val").weights_by == "best mAP on mini:val (60 pictures, 5 classes)"
    assert given_ensemble(None, 4, "equal: nothing was held out").weights == (0.25,) * 4


def test_weights_of_another_number_of_members_are_one_line() -> None:
    matrices, targets = draw(2)
    with pytest.raises(UserError, match="--weights gives 3 numbers for 2 members; one for each is needed"):
        fit_ensemble(matrices, targets, "val", weights=[1, 2, 3])


def test_thousands_of_pictures_take_seconds() -> None:
    matrices, targets = draw(2, n_images=5000, n_classes=80)
    start = time.process_time()
    choose_weights(matrices, targets)
    assert time.process_time() - start < 10  # 0.5 s where this was written; a slower machine has room

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from clipprompt.errors import UserError
from clipprompt.evaluation.combine import asked_of, check_same_set, ensemble, pick_branch
from clipprompt.evaluation.scores import Scores

TARGETS = np.array([[1, 0], [0, 1], [-1, 1]], dtype=np.int8)
GLOBAL, LOCAL = np.array([[4.0, 0.0], [1.0, 2.0], [0.0, 3.0]]), np.array([[0.0, 8.0], [1.0, 2.0], [6.0, 5.0]])
BOTH = Scores({"global": GLOBAL, "local": LOCAL}, TARGETS, ("cat", "dog"), ("a", "b", "c"))


@pytest.mark.parametrize("weight", [0.0, 0.25, 1.0])
def test_merge_weighs_the_local_branch(weight: float) -> None:
    name, matrix = pick_branch(BOTH, merge=weight)
    assert name == "merged"
    np.testing.assert_allclose(matrix, (1 - weight) * GLOBAL + weight * LOCAL)


def test_branches_are_merged_evenly_when_nothing_is_said() -> None:
    assert np.array_equal(pick_branch(BOTH)[1], (GLOBAL + LOCAL) / 2)


def test_merged_scores_that_are_saved_are_taken_as_they_are() -> None:
    saved = replace(BOTH, by_branch={**BOTH.by_branch, "merged": GLOBAL - LOCAL})
    assert np.array_equal(pick_branch(saved)[1], GLOBAL - LOCAL)
    assert np.array_equal(pick_branch(saved, merge=0.0)[1], GLOBAL)


@pytest.mark.parametrize(("there", "expected"), [(["global"], "global"), (["local"], "local"), (["merged"], "merged")])
def test_an_only_branch_is_taken(there: list[str], expected: str) -> None:
    assert pick_branch(Scores(dict.fromkeys(there, GLOBAL), TARGETS))[0] == expected


@pytest.mark.parametrize(
    ("branches", "branch", "merge", "message"),
    [
        (["global"], "local", None, "there is no branch 'local' here; there is global"),
        (["global"], "merged", None, "there is no branch 'merged' here"),
        (["global"], None, 0.5, "--merge needs the global and the local branch; there is global alone"),
        (["global", "local"], "local", 0.5, "--merge has no use with --branch local"),
        (["global", "local"], None, 1.5, r"--merge 1.5: the weight of the local branch lies in 0\.\.1"),
        (["global", "local"], None, -0.1, "--merge -0.1"),
        (["global", "local"], None, float("nan"), "--merge nan"),
    ],
)
def test_branch_that_cannot_be_had_is_one_line(
    branches: list[str], branch: str | None, merge: float | None, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        pick_branch(Scores(dict.fromkeys(branches, GLOBAL), TARGETS), branch, merge)


def test_ensemble_adds_what_is_min_max_normalised() -> None:
    expected = 0.1 * GLOBAL / 4 + 0.9 * LOCAL / 8
    np.testing.assert_allclose(ensemble([GLOBAL, LOCAL], [0.1, 0.9]), expected)


@pytest.mark.parametrize("change", [lambda s: 100 * s, lambda s: s - 7, lambda s: s / 300 + 1])
def test_scale_of_a_file_does_not_matter(change: object) -> None:
    changed = change(LOCAL)  # type: ignore[operator]
    np.testing.assert_allclose(ensemble([GLOBAL, changed]), ensemble([GLOBAL, LOCAL]), atol=1e-12)


def test_weights_are_relative_and_equal_by_default() -> None:
    np.testing.assert_allclose(ensemble([GLOBAL, LOCAL], [2, 6]), ensemble([GLOBAL, LOCAL], [0.25, 0.75]))
    np.testing.assert_allclose(ensemble([GLOBAL, LOCAL]), ensemble([GLOBAL, LOCAL], [1, 1]))


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([1.0], "--weights gives 1 numbers for 2 files"),
        ([1.0, 1.0, 1.0], "--weights gives 3 numbers for 2 files"),
        ([1.0, -0.5], "--weights -0.5: a weight is a finite number and not negative"),
        ([1.0, float("inf")], "--weights inf"),
        ([float("nan"), 1.0], "--weights nan"),
        ([0.0, 0.0], "at least one must be more than 0"),
    ],
)
def test_impossible_weights_are_one_line(weights: list[float], message: str) -> None:
    with pytest.raises(UserError, match=message):
        ensemble([GLOBAL, LOCAL], weights)


OTHER = np.array([[1, 0], [0, 1], [-1, 0]], dtype=np.int8)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"targets": OTHER}, "a and b are not of the same set: the label of image 2, class 1 is 1 and 0"),
        ({"classnames": ("cat", "cow")}, "class 2 is 'dog' and 'cow'"),
        ({"ids": ("a", "x", "c")}, "image 2 is 'b' and 'x'"),
    ],
)
def test_files_of_other_sets_are_one_line(changes: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        check_same_set([("a", BOTH), ("b", replace(BOTH, **changes))])  # type: ignore[arg-type]


def test_files_of_other_shapes_are_one_line() -> None:
    short = Scores({"global": GLOBAL[:2]}, TARGETS[:2])
    with pytest.raises(UserError, match=r"a and b differ in shape: \(3, 2\) and \(2, 2\)"):
        check_same_set([("a", BOTH), ("b", short)])


def test_names_that_one_file_lacks_are_not_compared() -> None:
    check_same_set([("a", BOTH), ("b", replace(BOTH, classnames=(), ids=()))])


def test_a_file_with_scores_alone_joins_files_with_branches() -> None:
    alone = Scores({"merged": LOCAL}, TARGETS)
    assert asked_of([BOTH, alone], "local", None) == [("local", None), (None, None)]
    assert asked_of([alone, BOTH], None, 0.3) == [(None, None), (None, 0.3)]
    assert asked_of([alone, alone], "local", None) == [("local", None)] * 2

from __future__ import annotations

import numpy as np
import pytest

from clipprompt.errors import UserError
from clipprompt.evaluation.metrics import average_precision
from clipprompt.evaluation.normalise import min_max, normalise


@pytest.fixture
def scores() -> np.ndarray:
    rng = np.random.default_rng(0)
    return (rng.normal(size=(30, 5)) * [1, 5, 2, 1, 9] + [0, 10, -3, 0, 4]).astype(np.float32)


@pytest.fixture
def targets() -> np.ndarray:
    return np.random.default_rng(1).choice([1, 0, -1], size=(30, 5))


@pytest.mark.parametrize(("how", "axis"), [("image", 1), ("prompt", 0), ("both", 1)])
def test_scores_are_standardised(scores: np.ndarray, how: str, axis: int) -> None:
    result = normalise(scores, how)
    np.testing.assert_allclose(result.mean(axis=axis), 0, atol=1e-9)
    np.testing.assert_allclose(result.std(axis=axis), 1, atol=1e-9)


def test_none_changes_nothing(scores: np.ndarray) -> None:
    assert normalise(scores, "none") is scores


def test_both_is_prompt_and_then_image(scores: np.ndarray) -> None:
    assert np.array_equal(normalise(scores, "both"), normalise(normalise(scores, "prompt"), "image"))


def test_prompt_alone_keeps_average_precision_and_the_others_do_not(scores: np.ndarray, targets: np.ndarray) -> None:
    plain = average_precision(scores, targets)
    assert average_precision(normalise(scores, "prompt"), targets) == plain
    assert average_precision(normalise(scores, "image"), targets) != plain
    assert average_precision(normalise(scores, "both"), targets) != plain


def test_image_normalisation_sees_one_image_alone(scores: np.ndarray) -> None:
    np.testing.assert_allclose(normalise(scores[3:4], "image")[0], normalise(scores, "image")[3])


@pytest.mark.parametrize("how", ["image", "prompt", "both"])
@pytest.mark.parametrize("value", [0.0, 0.1, -7.3, 1e30])
def test_constant_scores_become_zero_and_not_nan(how: str, value: float) -> None:
    assert np.array_equal(normalise(np.full((4, 3), value, dtype=np.float32), how), np.zeros((4, 3)))


def test_constant_row_or_column_leaves_the_others_alone(scores: np.ndarray) -> None:
    scores[:, 2], scores[4] = 0.1, 0.3
    assert np.isfinite(normalise(scores, "both")).all()
    assert (normalise(scores, "image")[4] == 0).all()


def test_one_class_or_one_image_is_no_error() -> None:
    assert normalise(np.array([[2.0], [3.0]]), "image").tolist() == [[0.0], [0.0]]
    assert normalise(np.array([[2.0, 3.0]]), "prompt").tolist() == [[0.0, 0.0]]


def test_unknown_name_is_refused_with_the_nearest() -> None:
    with pytest.raises(
        UserError, match=r"'images' \(did you mean 'image'\?\); choose one of none, image, prompt, both"
    ):
        normalise(np.zeros((1, 1)), "images")


def test_min_max_is_of_the_whole_matrix(scores: np.ndarray) -> None:
    result = min_max(scores)
    assert (result.min(), result.max()) == (0.0, 1.0)
    place = np.unravel_index(scores.argmax(), scores.shape)
    assert result[place] == 1.0
    assert np.array_equal(min_max(np.full((2, 2), 3.0)), np.zeros((2, 2)))

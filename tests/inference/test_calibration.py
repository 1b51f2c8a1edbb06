from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from clipprompt.backbone import Backbone
from clipprompt.errors import UserError
from clipprompt.inference._f1_cuts import best_cut, f1_cuts
from clipprompt.inference._logistic import SLOPE_PENALTY, fit_logistic, sigmoid, standardise
from clipprompt.inference.calibrating import fit_calibration
from clipprompt.inference.calibration import Calibration, read_calibration, write_calibration
from clipprompt.learners import create_learner

NAMES = ("cat", "red bus", "tree", "dog", "cup")
Array = np.ndarray[Any, Any]


def sample(n: int, seed: int = 0, unknown: float = 0.1) -> tuple[Array, Array]:
    """Scores whose level and spread differ from sample to sample, and labels of uneven frequency."""
    rng = np.random.default_rng(seed)
    present = rng.random((n, 5)) < [0.4, 0.3, 0.2, 0.1, 0.05]
    scores = rng.normal(size=(n, 5)) + 3 * present + [0, 0.5, 0, -0.5, 0]
    scores = scores * rng.uniform(0.5, 2, (n, 1)) + rng.normal(0, 20, (n, 1))
    targets = np.where(rng.random((n, 5)) < unknown, -1, present).astype(np.int8)
    return scores, targets


def wide(seed: int) -> tuple[Array, Array]:
    """600 samples with 50 scores, each showing one of 50 classes."""
    rng = np.random.default_rng(seed)
    present = np.zeros((600, 50), dtype=np.int8)
    present[np.arange(600), rng.integers(0, 50, 600)] = 1
    return rng.normal(size=(600, 50)) + 5 * present, present


def fitted(n: int = 800, **changes: Any) -> Calibration:
    scores, targets = sample(n)
    made = fit_calibration(scores, targets, NAMES, NAMES, source="samples", method="zero_shot", fingerprint="f00d")
    return made.model_copy(update=changes)


@pytest.fixture(scope="module")
def calibrated(tiny_vit_backbone: Backbone, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A prompt folder with a calibration; not to be changed."""
    folder = tmp_path_factory.mktemp("calibrated")
    create_learner("zero_shot", tiny_vit_backbone, NAMES).save(folder)
    write_calibration(folder, fitted())
    return folder


@pytest.fixture
def prompt(calibrated: Path, tmp_path: Path) -> Path:
    """A copy that may be changed."""
    return shutil.copytree(calibrated, tmp_path / "prompt")


# ---------------------------------------------------------------- standardised scores


@pytest.mark.parametrize("own", [[0, 1, 2, 3, 4], [-1, -1, 2, 0, -1]], ids=["within the list", "partly outside it"])
def test_a_score_is_measured_against_the_other_reference_classes(own: list[int]) -> None:
    scores, reference = sample(20)[0], sample(20)[0][:, ::-1]
    found = standardise(scores, reference, np.array(own))
    for row in range(20):
        for column, place in enumerate(own):
            others = [reference[row, i] for i in range(5) if i != place]
            expected = (scores[row, column] - np.mean(others)) / np.std(others)
            assert found[row, column] == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(("shift", "stretch"), [(5.0, 1.0), (0.0, 0.01), (-80.0, 30.0)])
def test_shift_and_stretch_of_a_sample_change_no_probability(shift: float, stretch: float) -> None:
    scores, known = sample(50)[0], fitted()
    moved = shift + stretch * scores
    assert np.allclose(known.probabilities(moved, moved, NAMES), known.probabilities(scores, scores, NAMES), atol=1e-9)


def test_equal_scores_give_finite_probabilities() -> None:
    flat = np.full((2, 5), 7.25, dtype=np.float32)
    found = fitted().probabilities(np.append(flat, [[9.0], [-9.0]], axis=1), flat, (*NAMES, "unknown"))
    assert np.isfinite(found).all()


# ---------------------------------------------------------------- the curve


def slow_loss(slope: float, offset: float, z: Array, targets: Array) -> float:
    total = SLOPE_PENALTY / 2 * slope**2
    for row, column in np.argwhere(targets != -1):
        p = 1 / (1 + np.exp(-(slope * z[row, column] + offset)))
        total -= np.log(p if targets[row, column] == 1 else 1 - p)
    return float(total)


def test_the_fit_is_where_a_slow_loss_has_no_gradient() -> None:
    scores, targets = sample(60)
    z = standardise(scores, scores, np.arange(5))
    made = fit_calibration(scores, targets, NAMES, NAMES, source="s", method="m", fingerprint="f")
    for step in (np.array([1e-4, 0]), np.array([0, 1e-4])):
        best = np.array([made.slope, made.offset])
        slope = (slow_loss(*(best + step), z, targets) - slow_loss(*(best - step), z, targets)) / 2e-4
        assert abs(slope) < 1e-4


@pytest.mark.parametrize("level", [0.0, 50.0, -400.0])
def test_the_fit_is_found_from_far_away(level: float) -> None:
    z = np.random.default_rng(0).normal(level, 3, 500)
    present = z > level + np.random.default_rng(1).normal(2, 1, 500)
    fit = fit_logistic(z, present)
    assert -fit.offset / fit.slope == pytest.approx(level + 2, abs=0.3)


def test_mean_probability_is_the_share_of_positives() -> None:
    scores, targets = sample(800)
    found = fitted().probabilities(scores, scores, NAMES)[targets != -1]
    assert found.mean() == pytest.approx((targets[targets != -1] == 1).mean(), abs=1e-6)


def test_labels_that_scores_separate_give_a_finite_curve() -> None:
    scores = np.array([[10.0, 0, 1, 2], [0, 10, 1, 2], [1, 0, 10, 2]] * 5)
    made = fit_calibration(scores, (scores == 10).astype(int), "abcd", "abcd", source="s", method="m", fingerprint="f")
    assert np.isfinite([made.slope, made.offset]).all()
    assert made.classes[3].f1 is None
    assert made.classes[3].threshold == pytest.approx(made.threshold)


def test_a_fit_is_the_same_every_time() -> None:
    assert fitted() == fitted()


def test_probabilities_come_true_on_samples_of_another_level() -> None:
    (scores, present), (others, truth) = wide(seed=5), wide(seed=6)
    names = [str(number) for number in range(50)]
    known = fit_calibration(scores, present, names, names, source="s", method="m", fingerprint="f")
    others = others * 0.1 - 40
    found = known.probabilities(others, others, names)
    bins = (found * 10).astype(int)
    gaps = [abs((found - truth)[bins == one].sum()) for one in range(11)]
    assert sum(gaps) < 0.1 * truth.sum()


# ---------------------------------------------------------------- any class list


def test_probability_rises_with_the_score() -> None:
    reference = sample(1)[0]
    scores = np.linspace(-90, 90, 50)[:, None]
    for name in ("cat", "unheard of"):
        found = fitted().probabilities(scores, reference.repeat(50, axis=0), [name])[:, 0]
        assert (np.diff(found) >= 0).all()
        assert found[-1] > 0.99 > 0.01 > found[0]


def test_an_unknown_class_takes_the_same_curve_and_the_shared_threshold() -> None:
    known, (scores, _) = fitted(), sample(6)
    found = known.probabilities(scores[:, :1], scores, ["zebra"])
    z = (scores[:, 0] - scores.mean(axis=1)) / scores.std(axis=1)
    assert np.allclose(found[:, 0], 1 / (1 + np.exp(-(known.slope * z + known.offset))))
    assert known.thresholds(["zebra"]).tolist() == [known.threshold]


def test_classes_are_known_by_name_and_not_by_place() -> None:
    known, (scores, _) = fitted(), sample(6)
    in_order = known.probabilities(scores, scores, NAMES)
    shuffled = known.probabilities(scores[:, [1, 4, 0]], scores, ["Red_Bus", "cup", "CAT"])
    assert np.array_equal(shuffled, in_order[:, [1, 4, 0]])
    assert known.thresholds(["Red_Bus"]).tolist() == [known.classes[1].threshold]


def test_other_labels_beside_it_do_not_change_a_probability() -> None:
    known, (scores, _) = fitted(), sample(6)
    alone = known.probabilities(scores[:, :1], scores, ["cat"])
    assert np.array_equal(alone, known.probabilities(scores, scores, NAMES)[:, :1])


def test_a_long_reference_list_makes_none_of_these_an_answer() -> None:
    scores, present = wide(seed=5)
    names = [f"class {number}" for number in range(50)]
    known = fit_calibration(scores, present[:, :5], names, names[:5], source="s", method="m", fingerprint="f")
    given = known.probabilities(scores[:, :5], scores, names[:5]) >= known.thresholds(names[:5])
    assert known.reference == tuple(names)
    shown = present[:, :5].any(axis=1)
    assert given.any(axis=1)[shown].mean() > 0.9
    assert given.any(axis=1)[~shown].mean() < 0.1


# ---------------------------------------------------------------- cuts


def f1(given: Array, present: Array) -> float:
    return float(2 * (given & present).sum() / (given.sum() + present.sum()))


@pytest.mark.parametrize("levels", [1000, 4, 1], ids=["no ties", "ties", "all equal"])
def test_the_best_cut_is_that_of_all_cuts_tried(levels: int) -> None:
    rng = np.random.default_rng(levels)
    for _ in range(20):
        logits = rng.integers(0, levels, 30) / 7.0
        present = rng.random(30) < 0.3
        present[0] = True
        tried = max(f1(logits >= cut, present) for cut in logits)
        assert f1(logits >= best_cut(logits, present), present) == pytest.approx(tried)


def test_a_class_with_few_examples_is_cut_nearly_as_all_are() -> None:
    scores, targets = sample(500)
    targets[:, 4] = np.where(np.arange(500) == 3, 1, 0)
    targets[:, 3] = 0
    common, shrunk = f1_cuts(scores, targets, 100.0)
    _, own = f1_cuts(scores, targets, 0.0)
    assert shrunk[3] == common
    assert shrunk[4] == pytest.approx(own[4] / 101 + common * 100 / 101)
    assert abs(shrunk[0] - own[0]) < abs(shrunk[4] - own[4])


def test_unknown_labels_do_not_move_a_cut() -> None:
    scores, targets = sample(300, unknown=0)
    hidden = targets.copy()
    hidden[200:] = -1
    assert np.array_equal(f1_cuts(scores, hidden, 10.0)[1], f1_cuts(scores[:200], targets[:200], 10.0)[1])


def test_thresholds_give_the_f1_that_is_recorded() -> None:
    scores, targets = sample(800)
    known = fitted()
    given = known.probabilities(scores, scores, NAMES) >= known.thresholds(NAMES)
    for column, one in enumerate(known.classes):
        rows = targets[:, column] != -1
        assert one.f1 == pytest.approx(f1(given[rows, column], targets[rows, column] == 1), abs=1e-3)


def test_sigmoid_does_not_overflow() -> None:
    assert sigmoid(np.array([-1e6, 0.0, 1e6])).tolist() == [0.0, 0.5, 1.0]


# ---------------------------------------------------------------- the file


def test_reading_gives_back_what_was_written(prompt: Path) -> None:
    made, found = fitted(), read_calibration(prompt)
    assert found is not None
    assert found.model_copy(update={"prompt": None}) == made
    assert found.reference == NAMES
    assert found.thresholds(NAMES).tolist() == made.thresholds(NAMES).tolist()
    assert {path.name for path in prompt.iterdir()} == {"prompt.json", "prompt.safetensors", "calibration.json"}


def test_a_prompt_without_calibration_has_none(prompt: Path) -> None:
    (prompt / "calibration.json").unlink()
    assert read_calibration(prompt) is None


def edit(folder: Path, changes: dict[str, Any]) -> None:
    path = folder / "calibration.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


ONE = {"name": "cat", "threshold": 0.5, "n_present": 3, "f1": None}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"slope": float("nan")}, "slope: Input should be a finite number"),
        ({"offset": float("inf")}, "offset: Input should be a finite number"),
        ({"slope": -1.0}, "slope: Input should be greater than 0, not -1.0"),
        ({"offset": "0.5"}, "offset: Input should be a valid number, not '0.5'"),
        ({"threshold": 1.5}, "threshold: Input should be less than or equal to 1, not 1.5"),
        ({"n_samples": True}, "n_samples: Input should be a valid integer, not True"),
        ({"classes": []}, "classes: Tuple should have at least 1 item"),
        ({"classes": [ONE, {**ONE, "name": "Cat"}]}, "classes: class 'cat' is there twice"),
        ({"classes": [{"name": "cat"}]}, "key 'classes.0.threshold' is missing"),
        ({"classes": [{**ONE, "name": ""}]}, "classes.0.name: String should have at least 1 character"),
        ({"classes": [{**ONE, "threshold": None}]}, "classes.0.threshold: Input should be a valid number, not None"),
        ({"reference": ["cat", "dog"]}, "reference: Tuple should have at least 3 items"),
        ({"reference": ["cat", "dog", "cat"]}, "reference: class 'cat' is there twice"),
        ({"reference": ["cat", "dog", 3]}, "reference.2: Input should be a valid string, not 3"),
        ({"classes": "cat"}, "classes: Input should be a valid array, not 'cat'"),
        ({"spam": 1}, "key 'spam' is not known"),
        ({"format": 3}, "has layout 3, this clipprompt reads up to 2; update clipprompt"),
        ({"format": "1"}, "format: Input should be 1 or 2, not '1'"),
        ({"format": 1}, "the file: format 1 has no band"),
        ({"certainty": None}, "the file: format 2 has a certainty"),
        ({"certain_from": None}, "the file: certain_below and certain_from come together"),
        ({"certain_from": 0.0}, "and certain_from 0 do not rise"),
        ({"certain_below": 1.5}, "certain_below: Input should be less than or equal to 1, not 1.5"),
        ({"classes": [ONE]}, "the file: format 2 has a certainty, and certain_below and certain_from for every class"),
        (
            {"classes": [{**ONE, "certain_below": 0.6, "certain_from": 0.7}]},
            "classes.0: certain_below 0.6, threshold 0.5",
        ),
        ({"prompt": "0123456789abcdef"}, "was made for another prompt"),
        ({"prompt": None}, "was made for another prompt"),
    ],
)
def test_a_wrong_file_is_named_in_one_line(prompt: Path, changes: dict[str, Any], message: str) -> None:
    edit(prompt, changes)
    with pytest.raises(UserError) as error:
        read_calibration(prompt)
    assert message in str(error.value)
    assert str(prompt / "calibration.json") in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b'"text"', b"\xff\xfe", b"[" * 100_000])
def test_a_broken_file_is_named_in_one_line(prompt: Path, content: bytes) -> None:
    (prompt / "calibration.json").write_bytes(content)
    with pytest.raises(UserError, match=r"calibration\.json.*make it again"):
        read_calibration(prompt)


def test_a_calibration_does_not_outlive_its_prompt(prompt: Path, tiny_vit_backbone: Backbone) -> None:
    create_learner("zero_shot", tiny_vit_backbone, NAMES, templates=["a drawing of a {}."]).save(prompt)
    with pytest.raises(UserError, match="another prompt"):
        read_calibration(prompt)


def test_other_class_names_keep_the_calibration(prompt: Path, tiny_vit_backbone: Backbone) -> None:
    create_learner("zero_shot", tiny_vit_backbone, ["zebra", "okapi"]).save(prompt)
    assert read_calibration(prompt) is not None


def test_a_calibration_is_written_beside_a_prompt_only(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not a prompt folder"):
        write_calibration(tmp_path, fitted())
    assert not list(tmp_path.iterdir())


# ---------------------------------------------------------------- wrong samples


def wrong(what: str) -> tuple[Array, Array, tuple[str, ...], tuple[str, ...]]:
    scores, targets = sample(30, unknown=0)
    changed: dict[str, tuple[Array, Array, tuple[str, ...], tuple[str, ...]]] = {
        "two classes": (scores[:, :2], targets[:, :2], NAMES[:2], NAMES[:2]),
        "another class": (scores, targets, NAMES, ("zebra", *NAMES[1:])),
        "names": (scores, targets[:, :4], NAMES[:4], NAMES[:4]),
        "shapes": (scores, targets[:20], NAMES, NAMES),
        "nan": (np.where(scores == scores[3, 2], np.nan, scores), targets, NAMES, NAMES),
        "label 2": (scores, targets + 1, NAMES, NAMES),
        "none present": (scores, targets * 0, NAMES, NAMES),
        "none absent": (scores, targets * 0 + 1, NAMES, NAMES),
        "reversed": (-scores, targets, NAMES, NAMES),
    }
    return changed[what]


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("two classes", "needs at least 3 classes"),
        ("another class", "class 'zebra' is not in the reference list"),
        ("names", r"scores \(30, 5\) do not fit 4 reference classes"),
        ("shapes", r"labels \(20, 5\) do not fit 30 samples and 5 classes"),
        ("nan", "the score of sample 3 for class 2 is nan"),
        ("label 2", "label 2 is not one of"),
        ("none present", "known to be present"),
        ("none absent", "known to be absent"),
        ("reversed", "the scores are no higher where a class is present"),
    ],
)
def test_wrong_samples_are_refused(what: str, message: str) -> None:
    scores, targets, reference, names = wrong(what)
    with pytest.raises(UserError, match=message):
        fit_calibration(scores, targets, reference, names, source="s", method="m", fingerprint="f")


def test_scores_that_do_not_fit_are_refused() -> None:
    scores = sample(3)[0]
    with pytest.raises(UserError, match="do not fit 5 reference classes"):
        fitted().probabilities(scores, scores[:, :4], NAMES)

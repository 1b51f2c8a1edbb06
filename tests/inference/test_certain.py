from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from clipprompt.errors import UserError
from clipprompt.inference._certain import CertainCuts, certain_cuts
from clipprompt.inference._choice import answers, thresholds_for
from clipprompt.inference._f1_cuts import f1_cuts
from clipprompt.inference.calibrating import fit_calibration
from clipprompt.inference.calibration import Calibration

Array = np.ndarray[Any, Any]
NAMES = ("cat", "red bus", "tree", "dog", "cup")
SHARES = (0.5, 0.7, 0.9, 0.95, 0.999)


def drawn(seed: int, n: int = 200, unknown: float = 0.3, levels: int = 0) -> tuple[Array, Array]:
    """Logits and labels of classes from frequent to rare; with ``levels`` many logits are equal."""
    rng = np.random.default_rng(seed)
    present = rng.random((n, 5)) < [0.4, 0.3, 0.2, 0.05, 0.02]
    present[0] = True
    logits = rng.normal(size=(n, 5)) * 2 + 3 * present - 2
    targets = np.where(rng.random((n, 5)) < unknown, -1, present).astype(np.int8)
    targets[:2, 0] = 1, 0
    return (np.round(logits * levels) / levels if levels else logits), targets


def cuts_of(
    logits: Array, targets: Array, certainty: float = 0.9, strength: float = 20.0
) -> tuple[tuple[float, Array], CertainCuts, CertainCuts]:
    thresholds = f1_cuts(logits, targets, 100.0)
    return (thresholds, *certain_cuts(logits, targets, thresholds, certainty, strength))


def fitted(certainty: float = 0.9, seed: int = 0, n: int = 500) -> Calibration:
    rng = np.random.default_rng(seed)
    targets = (rng.random((n, 5)) < 0.3).astype(np.int8)
    scores = rng.normal(size=(n, 5)) + 2 * targets
    facts = {"source": "s", "method": "m", "fingerprint": "f"}
    return fit_calibration(scores, targets, NAMES, NAMES, certainty=certainty, **facts)


@pytest.mark.parametrize("levels", [0, 2], ids=["no ties", "ties"])
@pytest.mark.parametrize("seed", range(3))
def test_cuts_are_those_of_the_definition(seed: int, levels: int) -> None:
    logits, targets = drawn(seed, levels=levels)
    (common, own), shared, certain = cuts_of(logits, targets)
    round_ = [*np.linspace(0.5, 0.99, 50), 0.995, 0.999]
    tried = sorted({*logits[targets == 1].tolist(), *(float(np.log(p / (1 - p))) for p in round_)})

    def shares(cut: float, column: Any) -> tuple[int, int, int]:
        above, known = logits[:, column] >= cut, targets[:, column]
        return int((above & (known == 1)).sum()), int((above & (known == 0)).sum()), int((known == 1).sum())

    def promised(cut: float) -> float:
        above = logits[(targets != -1) & (logits >= cut)]
        return float(np.mean(1 / (1 + np.exp(-(above if len(above) else np.array(cut))))))

    def slow(threshold: float, column: Any, strength: float) -> tuple[float, float]:
        lower, upper = -np.inf, np.inf
        for cut in tried:
            (hits, false, n), (all_hits, all_false, all_n) = shares(cut, column), shares(cut, slice(None))
            precision = (all_hits + 20 * promised(cut)) / (all_hits + all_false + 20)
            if strength:
                precision = (hits + strength * precision) / (hits + false + strength)
            recall = (hits + strength * all_hits / all_n) / (n + strength)
            lower = max(lower, min(cut, threshold)) if recall >= 0.9 - 1e-9 else lower
            upper = min(upper, cut) if precision >= 0.9 - 1e-9 and cut >= threshold else upper
        return lower, upper

    assert (shared.lower, shared.upper) == pytest.approx(slow(common, slice(None), 0.0))
    for column in range(5):
        expected = slow(own[column], column, 20.0)
        assert (certain.lower[column], certain.upper[column]) == pytest.approx(expected)


@pytest.mark.parametrize("n", [5, 30, 400])
@pytest.mark.parametrize("unknown", [0.0, 0.5, 0.95])
def test_a_band_holds_its_threshold_and_grows_with_the_certainty(n: int, unknown: float) -> None:
    for seed in range(5):
        logits, targets = drawn(seed, n, unknown, levels=4)
        bands = [cuts_of(logits, targets, share) for share in SHARES]
        for (common, own), shared, certain in bands:
            assert shared.lower <= common <= shared.upper
            assert ((certain.lower <= own) & (own <= certain.upper)).all()
        for narrow, wide in pairwise(bands):
            assert (wide[2].lower <= narrow[2].lower).all()
            assert (wide[2].upper >= narrow[2].upper).all()


def test_the_labels_that_chose_the_shared_cuts_keep_their_promise() -> None:
    logits, targets = drawn(0, 500)
    _, shared, _ = cuts_of(logits, targets, strength=1e-6)
    yes, no = logits >= shared.upper, logits < shared.lower
    assert (targets[yes & (targets != -1)] == 1).mean() >= 0.9
    assert (no & (targets == 1)).sum() <= 0.1 * (targets == 1).sum()


def test_unknown_labels_move_no_band() -> None:
    logits, targets = drawn(1, 300, unknown=0)
    hidden = targets.copy()
    hidden[200:] = -1
    found, expected = cuts_of(logits, hidden), cuts_of(logits[:200], targets[:200])
    assert np.array_equal(np.array(found[1:][1]), np.array(expected[1:][1]))
    assert np.array_equal(np.array(found[1]), np.array(expected[1]))


@pytest.mark.parametrize("value", [1, 0, -1], ids=["none absent", "none present", "none known"])
def test_a_class_without_both_labels_takes_what_all_share(value: int) -> None:
    logits, targets = drawn(2)
    targets[:, 1] = np.where(targets[:, 1] == -1, -1, value)
    (common, own), shared, certain = cuts_of(logits, targets)
    assert (own[1], certain.lower[1], certain.upper[1]) == (common, shared.lower, shared.upper)


def test_few_labels_stay_near_what_all_share() -> None:
    logits, targets = drawn(3, 2000, unknown=0)
    few, many = targets.copy(), targets
    few[10:, 0] = -1
    own = cuts_of(logits, many, strength=1e-6)[2].upper[0]
    distance = [abs(cuts_of(logits, some)[2].upper[0] - own) for some in (few, many)]
    assert distance[0] > distance[1]


@pytest.mark.parametrize("certainty", [0.9, 0.9999])
def test_scores_that_say_little_give_no_yes(certainty: float) -> None:
    rng = np.random.default_rng(0)
    targets = (rng.random((400, 5)) < 0.1).astype(np.int8)
    targets[0] = 0
    scores = rng.normal(size=(400, 5)) + 0.3 * targets
    scores[0] += [9, 0, 0, 0, 0]  # the highest of all is a mistake
    facts = {"source": "s", "method": "m", "fingerprint": "f"}
    found = fit_calibration(scores, targets, NAMES, NAMES, certainty=certainty, **facts)
    assert found.certain_from is not None
    assert found.certain_from >= certainty
    bands = found.bands(NAMES)
    assert bands is not None
    assert not any("yes" in row for row in answers(found.probabilities(scores, scores, NAMES), bands))


def test_answers_are_told_by_the_band() -> None:
    bands = np.array([0.2, 0.4]), np.array([0.8, 0.4])
    said = answers(np.array([[0.1, 0.39], [0.2, 0.4], [0.79, 0.41], [0.8, 1.0]]), bands)
    assert said == [["no", "no"], ["uncertain", "yes"], ["uncertain", "yes"], ["yes", "yes"]]


def test_what_was_not_calibrated_takes_the_shared_band() -> None:
    found = fitted()
    bands = found.bands(["zebra", "Red_Bus"])
    assert bands is not None
    assert (bands[0][0], bands[1][0]) == (found.certain_below, found.certain_from)
    assert (bands[0][1], bands[1][1]) == (found.classes[1].certain_below, found.classes[1].certain_from)


def test_uncertain_labels_are_given_from_the_lower_end_of_the_band() -> None:
    found = fitted()
    bands, least = found.bands(NAMES), thresholds_for(None, found, NAMES, uncertain=True)
    assert bands is not None
    assert least is not None
    assert np.array_equal(least, bands[0])
    assert (least <= found.thresholds(NAMES)).all()


@pytest.mark.parametrize(
    ("threshold", "calibration", "message"),
    [
        (None, None, "uncertain labels need a calibration"),
        (0.5, "new", "go with the calibrated thresholds, and not with the threshold 0.5"),
        (None, "older", "of an older version"),
    ],
    ids=["none", "a number", "format 1"],
)
def test_uncertain_labels_need_a_band(threshold: float | None, calibration: str | None, message: str) -> None:
    known = {None: None, "new": fitted(), "older": older(fitted())}[calibration]
    with pytest.raises(UserError, match=message):
        thresholds_for(threshold, known, NAMES, uncertain=True)


def older(found: Calibration) -> Calibration:
    """As an older version wrote it."""
    said = found.model_dump(exclude={"certainty", "certain_below", "certain_from"})
    for one in said["classes"]:
        for name in ("certain_below", "certain_from", "n_absent"):
            del one[name]
    return Calibration.model_validate({**said, "format": 1})


def test_a_file_of_format_1_is_read_and_says_nothing_of_certainty() -> None:
    found, new = older(fitted()), fitted()
    assert found.bands(NAMES) is None
    assert found.thresholds(NAMES).tolist() == new.thresholds(NAMES).tolist()


@pytest.mark.parametrize("certainty", [0.49, 1.0, -1.0, float("nan"), 90.0])
def test_a_certainty_is_a_share(certainty: float) -> None:
    with pytest.raises(UserError, match="the share of right answers lies between"):
        fitted(certainty)

from __future__ import annotations

import numpy as np
import pytest

from clipprompt.inference._samples import Samples
from tools.calibration_table import FEW, MANY, Scored, _print_decisions, _print_references
from tools.certain_table import _measure

NAMES = ("aeroplane", "dog", "sofa", "boat", "tvmonitor", "sheep")
REFERENCE = (*NAMES, "kite", "zebra", "cup", "bed")


def scored(seed: int) -> Scored:
    rng = np.random.default_rng(seed)
    present = (rng.random((300, 6)) < 0.25).astype(np.int8)
    scores = rng.normal(size=(300, 10)) + rng.normal(0, 9, (300, 1))
    scores[:, :6] += 4 * present
    return Scored("zero_shot", Samples(scores.astype(np.float32), present, "drawn"), REFERENCE, NAMES)


def test_some_classes_keep_their_scores_and_labels() -> None:
    whole, part = scored(0), scored(0).only(slice(2, 4))
    assert part.names == ("sofa", "boat")
    assert set(part.reference) == set(REFERENCE)
    assert np.array_equal(part.own, whole.own[:, 2:4])
    assert np.array_equal(part.targets, whole.targets[:, 2:4])


@pytest.mark.parametrize(
    ("kind", "expected"),
    [(FEW, ("aeroplane", "dog", "sofa")), (MANY, ("aeroplane", "dog", "sofa", "boat", "sheep", "kite", "zebra"))],
)
def test_the_reference_list_is_what_a_user_with_these_classes_would_have(kind: str, expected: tuple[str, ...]) -> None:
    reference = scored(0).only(slice(3)).calibration(kind).reference
    assert reference[: len(expected)] == expected
    assert "tvmonitor" not in reference


def test_tables_have_a_row_for_every_source_and_list(capsys: pytest.CaptureFixture[str]) -> None:
    _print_decisions({"captions": scored(0), "pictures": scored(1)}, scored(2))
    decisions = capsys.readouterr().out.splitlines()
    _print_references(scored(0), scored(2))
    references = capsys.readouterr().out.splitlines()
    assert len(decisions) == 2 + 7
    assert len(references) == 2 + 6
    assert len({line.count("|") for line in decisions}) == 1
    bound = float(decisions[-1].split("|")[4])
    assert all(float(line.split("|")[4]) <= bound + 0.01 for line in decisions[2:])


def test_shares_of_answers_add_up() -> None:
    right, yes, uncertain, no, present_of_no, _ = _measure(scored(0), scored(1))
    assert yes + uncertain + no == pytest.approx(1)
    assert right > 0.8
    assert present_of_no < 0.1

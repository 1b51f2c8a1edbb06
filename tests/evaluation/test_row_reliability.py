from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from clipprompt.evaluation import row_reliability
from clipprompt.evaluation.row_reliability import row_reliabilities

SCORES = np.array([[0.2, 0.7], [0.9, 0.4]])


def measured(name: str, source: str | None, calibrated: bool) -> tuple[SimpleNamespace, SimpleNamespace, str]:
    row = SimpleNamespace(learner=SimpleNamespace(name=name), variant="", seed=None, source=source)
    known = {"global": SCORES} if calibrated else {}
    targets = np.array([[0, 1], [1, 0]], dtype=np.int8)
    return row, SimpleNamespace(probabilities=known, by_branch={"global": SCORES}, targets=targets), "global"


@pytest.mark.parametrize("most", [6, 3])
def test_calibrated_rows_come_first_then_prompts_then_zero_shot(monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    every = [
        measured("zero", None, False),
        measured("plain", "a", False),
        measured("sure", "b", True),
        measured("other", "c", False),
        measured("surer", "d", True),
    ]
    monkeypatch.setattr(row_reliability, "measured", lambda *_: every)
    found, left_out = row_reliabilities(None, None, most)  # type: ignore[arg-type]
    assert [one.row.partition(" ")[0] for one in found] == ["sure", "surer", "plain", "other", "zero"][:most]
    assert [one.probabilities for one in found] == ["calibrated", "calibrated", "sigmoid", "sigmoid", "sigmoid"][:most]
    assert len(left_out) == 5 - len(found)

"""The labelling benchmark runs, at a small size, with what is installed."""

from __future__ import annotations

import pytest

from clipprompt.captions.labels import Labels
from tools.bench import labelling


@pytest.mark.slow
def test_ours_and_the_original_are_measured_on_the_same_captions() -> None:
    rows = labelling.rows(n_captions=300)
    assert rows
    for row in rows:
        assert row["ratio"] == pytest.approx(row["plain_s"] / row["ours_s"])
        assert row["ratio"] > 1
        assert "300 captions" in row["note"]


@pytest.mark.parametrize("steps", [steps for steps, _ in labelling._pipelines()])
def test_the_original_pipeline_finds_the_plain_names(steps: tuple[str, ...]) -> None:
    found = labelling._plain(300, steps)()
    ours = labelling._ours(300)()
    assert isinstance(found, list)
    assert isinstance(ours, Labels)
    assert len(found) == len(ours) == 300
    assert 0 < sum(map(len, found)) < len(ours.values)


def test_captions_are_made_up_where_none_are_at_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(labelling, "_CAPTIONS", labelling._CAPTIONS / "missing")
    assert len(labelling.load_captions(5)) == 5

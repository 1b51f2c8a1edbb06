from __future__ import annotations

import csv
from pathlib import Path

import pytest

from clipprompt.errors import UserError
from clipprompt.reports.multilabel.per_class import write_per_class
from tests.reports.conftest import Make


def test_every_class_is_a_line_and_every_row_a_column(make_record: Make, tmp_path: Path) -> None:
    counts = {"n_positive": [0, 7]}
    records = [
        make_record("a", **counts, average_precision=[None, 0.25]),
        *(make_record("b", **counts, seed=seed, average_precision=[None, 0.5 * seed]) for seed in (1, 2)),
    ]
    write_per_class(records, tmp_path / "ap.csv")
    assert list(csv.reader((tmp_path / "ap.csv").read_text(encoding="utf-8").splitlines())) == [
        ["class", "n_positive", "a", "b"],
        ["cat", "0", "", ""],
        ["dog", "7", "25.000", "75.000"],
    ]


def test_two_class_lists_are_refused(make_record: Make, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="one class list"):
        write_per_class([make_record(), make_record(class_hash="x")], tmp_path / "ap.csv")
    assert not list(tmp_path.iterdir())

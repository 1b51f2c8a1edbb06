from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from clipprompt.evaluation.records import write_records
from tests.reports.multilabel_records import partial
from tests.reports.protocol_records import both
from tools import paired_differences


def study(path: Path, records: list[dict[str, Any]]) -> str:
    write_records(path / "all.jsonl", records)
    return str(path / "all.jsonl")


@pytest.fixture
def records() -> list[dict[str, Any]]:
    """Class split 1 is ten points easier than 0; coop gains 10 and 14 on base, and on novel loses 4, gains 2."""
    return [
        *both("zero_shot", "dtd", 0.30, 0.40, class_split=0),
        *both("zero_shot", "dtd", 0.40, 0.50, class_split=1),
        *both("coop", "dtd", 0.40, 0.36, class_split=0),
        *both("coop", "dtd", 0.54, 0.52, class_split=1),
    ]


def test_runs_are_compared_on_their_own_class_split(
    tmp_path: Path, records: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    paired_differences.main([study(tmp_path, records)])
    _, _, line = capsys.readouterr().out.splitlines()
    hm = [2 * 40 * 36 / 76 - 2 * 30 * 40 / 70, 2 * 54 * 52 / 106 - 2 * 40 * 50 / 90]
    mean, half = sum(hm) / 2, abs(hm[0] - hm[1]) / 2
    expected = f"| dtd | coop | +12.0 ± 2.8 | -1.0 ± 4.2 | {mean:+.1f} ± {half * 2**0.5:.1f} | 2 of 2 | 1 of 2 |"
    assert line == expected


def test_a_baseline_that_learns_is_paired_by_seed_too(
    tmp_path: Path, records: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    more = [
        *both("coop", "dtd", 0.50, 0.30, seed=2),
        *both("maple", "dtd", 0.41, 0.46, seed=1),
        *both("maple", "dtd", 0.52, 0.40, seed=2),
        *both("maple", "dtd", 0.90, 0.90, seed=3),  # coop has no such run
    ]
    paired_differences.main([study(tmp_path, records + more), "--baseline", "coop"])
    lines = {line.split("|")[2].strip(): line for line in capsys.readouterr().out.splitlines()[2:]}
    assert "| +1.5 ± 0.7 | +10.0 ± 0.0 |" in lines["maple"]
    assert lines["maple"].endswith("| 2 of 2 | 2 of 2 |")
    assert list(lines) == ["maple"]  # a run without a seed has no counterpart


def test_an_unknown_baseline_and_other_protocols_are_refused(tmp_path: Path, records: list[dict[str, Any]]) -> None:
    with pytest.raises(SystemExit, match=r"no row is called 'zero-shot'.*zero_shot.*; there are: zero_shot; coop"):
        paired_differences.main([study(tmp_path, records), "--baseline", "zero-shot"])
    other = {**records[0], "protocol": "zero-shot", "tested_subset": "all"}
    with pytest.raises(SystemExit, match="no results of base-to-novel, partial-label"):
        paired_differences.main([study(tmp_path, [other])])
    with pytest.raises(SystemExit, match="nowhere does not exist"):
        paired_differences.main(["nowhere"])


def test_prompts_of_captions_are_held_against_every_share_of_labels(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    records = partial(("tai_dpt", "dualcoop"), shares=(0.1, 0.5))  # 5 points apart, 5 more with all labels
    paired_differences.main([study(tmp_path, records), "--baseline", "tai_dpt"])
    head, _, line = capsys.readouterr().out.splitlines()
    assert head == "| set | minus tai_dpt | 10% | 50% |"
    assert line == "| voc2007 | dualcoop | +5.5 ± 0.0 (3 of 3) | +7.5 ± 0.0 (3 of 3) |"
    paired_differences.main([study(tmp_path, records), "--baseline", "dualcoop"])
    assert len(capsys.readouterr().out.splitlines()) == 2  # what has learnt no label has no column to be compared in

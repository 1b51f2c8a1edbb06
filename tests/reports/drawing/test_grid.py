from __future__ import annotations

import pytest

from clipprompt.reports.drawing.grid import columns, title_lines
from clipprompt.reports.drawing.panel import Panel


@pytest.mark.parametrize(
    ("title", "lines"),
    [
        ("TaI-DPT, ECE 2.4 %", ["TaI-DPT, ECE 2.4 %"]),
        ("zero-shot CLIP + local, centred text, ECE 2.4 %", ["zero-shot CLIP + local, centred text,", "ECE 2.4 %"]),
        ("dualcoop (local), runs/pictures, ECE 2.4 %", ["dualcoop (local), runs/pictures,", "ECE 2.4 %"]),
        ("", [""]),
        ("$x$ a\x1b", [r"\$x\$ a\x1b"]),
    ],
)
def test_titles_are_broken_between_words(title: str, lines: list[str]) -> None:
    assert title_lines(Panel(title, "", print, (3.7, 4.5))) == lines


def test_a_very_long_title_keeps_its_end_in_a_second_line() -> None:
    first, second = title_lines(Panel(f"one {'and more ' * 20}ECE 2.4 %", "", print, (3.7, 4.5)))
    assert "…" not in first
    assert "…" in second
    assert second.endswith("ECE 2.4 %")
    assert max(len(first), len(second)) <= int(3.7 / 0.09)


@pytest.mark.parametrize(("n_panels", "beside"), [(1, 1), (2, 2), (6, 3), (7, 4)])
def test_panels_stand_beside_each_other(n_panels: int, beside: int) -> None:
    assert columns(n_panels) == beside

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from clipprompt.resources import resource
from tools import drawn_sheet

SHIPPED = resource("configs").parent / "docs" / "images" / "mini-objects.png"


def test_sheet_of_the_docs_shows_the_pictures_that_are_drawn_now(tmp_path: Path) -> None:
    drawn_sheet.main([str(tmp_path / "sheet.png")])
    made, shipped = (np.asarray(Image.open(path)) for path in (tmp_path / "sheet.png", SHIPPED))
    pictures = np.s_[drawn_sheet._TOP :, drawn_sheet._LEFT :]  # without the words: fonts differ between machines
    assert np.array_equal(made[pictures], shipped[pictures])


def test_rows_are_looks_and_columns_are_kinds() -> None:
    one, two = (np.asarray(drawn_sheet.draw_sheet(kinds)) for kinds in (["cat"], ["cat", "bus"]))
    step = two.shape[1] - one.shape[1]
    assert np.array_equal(one[drawn_sheet._TOP :], two[drawn_sheet._TOP :, :-step])
    assert (one.shape[0] - drawn_sheet._TOP) // step == 1 + len(drawn_sheet.STYLES)

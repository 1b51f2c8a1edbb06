"""A sheet of the drawn sets: some kinds in the usual look and in every other one, the same objects below each other.

python -m tools.drawn_sheet docs/images/mini-objects.png
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from clipprompt.datasets.objects import CLASSES, load_drawn
from clipprompt.files import replace_file
from clipprompt.mini.render import render_scene
from clipprompt.mini.scenes import SPLITS, sample_object_scene
from clipprompt.mini.styles import STYLES

SHOWN = ("aeroplane", "bus", "cat", "elephant", "giraffe", "person", "pottedplant", "umbrella")
_CELL, _GAP, _LEFT, _TOP, _TEXT = 128, 4, 130, 30, 16  # pixels


def draw_sheet(kinds: Sequence[str] = SHOWN) -> Image.Image:
    """Rows of looks, the usual one first; columns of kinds, each the first test picture of its kind."""
    rows = {"(as trained on)": [_usual(kind) for kind in kinds]}
    rows |= {name: [_first_test_picture(name, kind) for kind in kinds] for name in STYLES}
    step = _CELL + _GAP
    sheet = Image.new("RGB", (_LEFT + step * len(kinds), _TOP + step * len(rows)), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(_TEXT)
    for column, kind in enumerate(kinds):
        draw.text((_LEFT + column * step + _CELL // 2, _TOP // 2), kind, "black", font, anchor="mm")
    for row, (name, pictures) in enumerate(rows.items()):
        top = _TOP + row * step
        draw.text((_GAP, top + _CELL // 2), name, "black", font, anchor="lm")
        for column, picture in enumerate(pictures):
            # Every pixel becomes a square, so that one sees what a model sees.
            sheet.paste(picture.resize((_CELL, _CELL), Image.Resampling.NEAREST), (_LEFT + column * step, top))
    return sheet


def _first_test_picture(name: str, kind: str) -> Image.Image:
    dataset = load_drawn(name)
    return dataset.open_item(dataset.part("test")[CLASSES.index(kind)].path)


def _usual(kind: str) -> Image.Image:
    return render_scene(sample_object_scene(SPLITS["test"] + CLASSES.index(kind), CLASSES))


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path, help="PNG file to write")
    with replace_file(parser.parse_args(arguments).output) as beside:
        draw_sheet().save(beside, "PNG", optimize=True)


if __name__ == "__main__":
    main()

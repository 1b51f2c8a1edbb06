"""Where prompts look, as a picture: prompts from above, layers from left to right, the picture itself before them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from clipprompt.inference.heat import heat_overlay
from clipprompt.reports.drawing.figure import GREY, INK, check_path, new_figure, save_figure
from clipprompt.reports.drawing.panel import label

if TYPE_CHECKING:
    import numpy.typing as npt
    from matplotlib.figure import Figure

    from clipprompt.inference.explain_attention import PictureAttention

_SIDE, _GAP, _WORDS, _TITLE, _BELOW, _HEADS, _EDGE = 1.1, 0.07, 0.75, 0.42, 0.17, 0.22, 0.2
_PIXELS = 150
"""Of a shown picture's side."""


def save_attention(
    found: Sequence[PictureAttention], path: str | Path, *, title: str, n_prompts: int | None = None
) -> None:
    """Writes a block for each picture.

    Args:
        found: at least one; all of one learner and with the same layers.
        path: of the file; its ending (png, pdf, svg) chooses the format.
        title: above all.
        n_prompts: those of each picture that give it most; None for all.

    Raises:
        UserError: for another ending, or a place that cannot be written.
    """
    check_path(path)
    shown = [entry.strongest(n_prompts or entry.n_prompts) for entry in found]
    n_layers = len(found[0].layers)
    cell = _SIDE + _GAP
    wide = max(2 * _EDGE + _WORDS + (1 + n_layers) * cell + _GAP, 2 * _EDGE + 0.115 * min(len(title), 60))
    heights = [_TITLE + _HEADS + len(prompts) * (cell + _BELOW) for prompts in shown]
    high = 0.55 + sum(heights) + _EDGE
    figure = new_figure(wide, high, layout=None)
    figure.text(_EDGE / wide, 1 - 0.36 / high, label(title, int(wide / 0.1)), fontsize=13, color=INK, weight="bold")
    top = 0.55
    for entry, prompts, height in zip(found, shown, heights, strict=True):
        _draw_picture(figure, entry, prompts, top)
        top += height
    save_figure(figure, path)


def _draw_picture(figure: Figure, entry: PictureAttention, prompts: Sequence[int], top: float) -> None:
    """One block, with its upper edge so many inches below that of the figure."""
    _write(figure, _EDGE, top + 0.25, entry.path, bold=True)
    top += _TITLE
    x, y = _EDGE, top + _HEADS
    _show(figure, _shown(entry.picture), x, y)
    start = x + _SIDE + 3 * _GAP + _WORDS
    for column, layer in enumerate(entry.layers):
        _write(figure, start + column * (_SIDE + _GAP), top + 0.12, f"layer {layer.layer}", grey=True)
    for row, prompt in enumerate(prompts):
        below = y + row * (_SIDE + _GAP + _BELOW)
        _write(figure, start - _WORDS, below + _SIDE / 2, f"prompt {prompt + 1}")
        for column, layer in enumerate(entry.layers):
            if prompt >= len(layer.maps):
                continue
            left = start + column * (_SIDE + _GAP)
            _show(figure, overlaid(entry.picture, layer.maps[prompt]), left, below)
            _write(figure, left, below + _SIDE + 0.1, f"{100 * layer.shares[prompt]:.0f} %", grey=True)


def overlaid(picture: Image.Image, weights: npt.NDArray[np.float32]) -> Image.Image:
    """A small copy of the picture with the weights over it, from clear to yellow by the map's own range."""
    small = _shown(picture)
    heat = heat_overlay(weights)
    if heat is None:
        return small
    over = heat.convert("RGBA").resize(small.size, Image.Resampling.BILINEAR)
    return Image.alpha_composite(small.convert("RGBA"), over).convert("RGB")


def _shown(picture: Image.Image) -> Image.Image:
    return picture.convert("RGB").resize((_PIXELS, _PIXELS), Image.Resampling.BICUBIC)


def _show(figure: Figure, picture: Image.Image, x: float, y: float) -> None:
    wide, high = figure.get_size_inches()
    axes = figure.add_axes((x / wide, 1 - (y + _SIDE) / high, _SIDE / wide, _SIDE / high))
    axes.imshow(np.asarray(picture))
    axes.set_axis_off()


def _write(figure: Figure, x: float, y: float, text: str, *, bold: bool = False, grey: bool = False) -> None:
    wide, high = figure.get_size_inches()
    weight, colour = "bold" if bold else "normal", GREY if grey else INK
    words = label(text, max(int((wide - x) / 0.09), 8))
    figure.text(x / wide, 1 - y / high, words, fontsize=8 if grey else 9, color=colour, weight=weight, va="center")

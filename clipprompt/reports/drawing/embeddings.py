"""Two maps of embeddings side by side: without what was learnt, and with it."""

from __future__ import annotations

import colorsys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from clipprompt.reports.drawing.figure import LINE
from clipprompt.reports.drawing.grid import save_panels
from clipprompt.reports.drawing.panel import COLOURS, SHAPES, Panel, Style

if TYPE_CHECKING:
    import numpy.typing as npt
    from matplotlib.axes import Axes

_SIDE = 4.8
_HUES = 12
_LIGHTS = (0.42, 0.62)
_IN_LEGEND = 120
_FEW, _MANY = 300, 2000
"""From how many pictures on points are small, and smaller."""


def class_styles(classnames: Sequence[str]) -> dict[str, Style]:
    """A look for each class: up to seven by colour alone, of more than that by hue, shade and shape."""
    if len(classnames) <= len(COLOURS):
        return {name: Style(colour, "o") for name, colour in zip(classnames, COLOURS, strict=False)}
    n_colours = min(len(classnames), _HUES * len(_LIGHTS))
    colours = [_colour(place / n_colours, _LIGHTS[place % len(_LIGHTS)]) for place in range(n_colours)]
    # Neighbours in the list differ in hue: each is seven twenty-fourths of the circle from the last.
    return {
        name: Style(colours[(7 * place) % n_colours], SHAPES[(place // n_colours) % len(SHAPES)])
        for place, name in enumerate(classnames)
    }


def save_embeddings(
    maps: Mapping[str, npt.NDArray[np.float32]],
    labels: Sequence[int],
    classnames: Sequence[str],
    path: str | Path,
    *,
    title: str,
) -> None:
    """Writes the maps beside each other, points in the colours of their classes, with a legend.

    Args:
        maps: (n, 2) by the title of their panel.
        labels: n numbers of classes.
        classnames: of all classes; the legend has those that are there, up to 120.
        path: of the file; its ending (png, pdf, svg) chooses the format.
        title: above all.

    Raises:
        UserError: for another ending, or a place that cannot be written.
    """
    there = sorted(set(labels))
    looks = class_styles([classnames[label] for label in there])
    keys = list(looks.items())
    if len(keys) > _IN_LEGEND:
        n_more = len(keys) - _IN_LEGEND
        keys = [*keys[:_IN_LEGEND], (f"and {n_more} more", Style("white", "o"))]
    names = [classnames[label] for label in labels]
    panels = [
        Panel(
            title=name,
            alt=f"{len(names)} pictures of {len(there)} classes",
            draw=partial(_draw, points=points, names=names, looks=looks),
            size=(_SIDE, _SIDE),
            left=0.05,
            right=0.05,
            bottom=0.05,
        )
        for name, points in maps.items()
    ]
    save_panels(panels, path, title=title, keys=keys)


def _draw(axes: Axes, points: npt.NDArray[np.float32], names: Sequence[str], looks: Mapping[str, Style]) -> None:
    size = 26.0 if len(names) < _FEW else 14.0 if len(names) < _MANY else 6.0
    for name, style in looks.items():
        rows = points[[place for place, other in enumerate(names) if other == name]]
        axes.scatter(rows[:, 0], rows[:, 1], s=size, marker=style.shape, color=style.colour, alpha=0.85, linewidths=0)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.margins(0.04)
    for side in axes.spines.values():
        side.set(visible=True, color=LINE)


def _colour(hue: float, light: float) -> str:
    """A full colour; greens and yellows are darker, as they seem lighter than others."""
    seems_light = 0.12 < hue < 0.45
    red, green, blue = colorsys.hls_to_rgb(hue, light * (0.8 if seems_light else 1.0), 0.75)
    return f"#{round(255 * red):02x}{round(255 * green):02x}{round(255 * blue):02x}"

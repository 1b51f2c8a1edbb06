"""A plot of a report: panels that belong together."""

from __future__ import annotations

from dataclasses import dataclass

from clipprompt.reports.drawing.panel import Panel, Style

DEVIATION = "Error bars: one standard deviation over runs to each side."


@dataclass(frozen=True)
class Plot:
    """Panels that belong together.

    Attributes:
        name: of a file, without an ending.
        title: above the panels.
        caption: what is to be seen, in a sentence or two.
        panels: at least one.
        keys: looks of the methods where the panels do not name them.
    """

    name: str
    title: str
    caption: str
    panels: tuple[Panel, ...]
    keys: tuple[tuple[str, Style], ...] = ()

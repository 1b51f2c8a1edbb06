"""``clipprompt data list``: the named sets as tables."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table


def list_sets() -> None:
    """Show the named sets, their splits, and the folders that --root wants."""
    from rich.console import Console

    from clipprompt.datasets.classification.specifications import SPECIFICATIONS as ONE
    from clipprompt.datasets.specifications import SPECIFICATIONS as SEVERAL

    console = Console(highlight=False)
    console.print("Several classes to a picture, for eval multilabel:\n")
    console.print(_several())
    console.print("\nOne class to a picture, for the other protocols:\n")
    console.print(_one())
    by_hand = [one.name for one in SEVERAL.values() if one.by_hand] + [one.name for one in ONE.values() if one.by_hand]
    console.print(
        "\n* what the bare name means. ~ published numbers differ much between seeds.\n"
        "Sets of one class lie as CoOp has them, with its split_zhou_*.json.\n"
        f"`data download` fetches all but {' and '.join(by_hand)}; mini-… are drawn."
    )


def _several() -> Table:
    from rich.table import Table

    from clipprompt.datasets.specifications import SPECIFICATIONS

    table = Table(show_lines=True)
    for title in ("name", "splits (images)", "below --root"):
        table.add_column(title, overflow="fold")
    for one in SPECIFICATIONS.values():
        splits = [f"{name} ({size:,})" + (" *" if name == one.default else "") for name, size in one.splits.items()]
        table.add_row(one.name, "\n".join(splits), "\n".join(one.layout))
    return table


def _one() -> Table:
    from clipprompt.cli._show import new_table

    table = new_table("name", "classes", "train", "val", "test")
    table.add_column("below --root", overflow="fold")
    for row in _rows():
        table.add_row(*row)
    return table


def _rows() -> Iterator[tuple[str, ...]]:
    from clipprompt.datasets.classification.sets import PARTS
    from clipprompt.datasets.classification.specifications import SPECIFICATIONS
    from clipprompt.datasets.objects import load_drawn
    from clipprompt.mini.styles import STYLES

    for one in SPECIFICATIONS.values():
        sizes = (f"{one.sizes[part]:,}" if part in one.sizes else "" for part in PARTS)
        yield one.name + " ~" * one.high_variance, f"{one.n_classes:,}", *sizes, one.folder
    for name in STYLES:
        drawn = load_drawn(name)
        yield name, str(len(drawn.classnames)), *(f"{len(drawn.parts[part]):,}" for part in PARTS), ""

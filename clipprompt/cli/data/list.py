"""``clipprompt data list``: the named sets as tables."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table


def list_sets() -> None:
    """Show the named sets, their splits, and the folders that --root wants."""
    from rich.console import Console

    from clipprompt.datasets.classification.groups import GROUPS
    from clipprompt.datasets.classification.specifications import SPECIFICATIONS as ONE
    from clipprompt.datasets.specifications import SPECIFICATIONS as SEVERAL

    console = Console(highlight=False)
    console.print("Several classes to a picture, for eval multilabel:\n")
    console.print(_several())
    console.print("\nOne class to a picture, for the other protocols:\n")
    console.print(_one())
    console.print("\nTasks of VTAB-1k, each with 800 train and 200 val pictures:\n")
    console.print(_tasks())
    by_hand = [one.name for one in SEVERAL.values() if one.by_hand]
    by_hand += [one.name for one in ONE.values() if one.by_hand and one.group != "fgvc"]
    console.print(
        "\n* what the bare name means. ~ published numbers differ much between seeds.\n"
        "Sets of one class lie as CoOp has them, with its split_zhou_*.json;\n"
        "fgvc-… as their authors have them, with train.json, val.json and test.json.\n"
        f"`data download` fetches all but {', '.join(by_hand)} and fgvc-…; mini-… are drawn.\n"
        f"Several at once: {', '.join(GROUPS)}."
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


def _tasks() -> Table:
    from clipprompt.cli._show import new_table
    from clipprompt.datasets.classification.groups import GROUPS
    from clipprompt.datasets.classification.specifications import SPECIFICATIONS

    table = new_table("name", "classes", "test", "below --root")
    for one in (SPECIFICATIONS[name] for name in GROUPS["vtab"]):
        table.add_row(one.name, str(one.n_classes), f"{one.sizes['test']:,}", one.folder)
    return table


def _rows() -> Iterator[tuple[str, ...]]:
    from clipprompt.datasets.classification.groups import GROUPS
    from clipprompt.datasets.classification.sets import PARTS
    from clipprompt.datasets.classification.specifications import SPECIFICATIONS
    from clipprompt.datasets.objects import load_drawn
    from clipprompt.mini.styles import STYLES

    for one in SPECIFICATIONS.values():
        if one.name in GROUPS["vtab"]:
            continue
        sizes = (f"{one.sizes[part]:,}" if part in one.sizes else "" for part in PARTS)
        yield one.name + " ~" * one.high_variance, f"{one.n_classes:,}", *sizes, one.folder
    for name in STYLES:
        drawn = load_drawn(name)
        yield name, str(len(drawn.classnames)), *(f"{len(drawn.parts[part]):,}" for part in PARTS), ""

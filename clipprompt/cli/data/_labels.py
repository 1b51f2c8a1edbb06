"""What was found of a multi-label set, or of one part of another."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from clipprompt.errors import UserError

if TYPE_CHECKING:
    from clipprompt.datasets import MultiLabelImages


def load(spec: str, images: Path | None, **options: Any) -> MultiLabelImages:
    """Loads a set and prints its notes on stderr; options are those of ``load_dataset``."""
    from clipprompt.datasets import load_dataset

    labelled = load_dataset(spec, images, **options)
    for note in labelled.notes:
        typer.echo(f"clipprompt: {note}", err=True)
    return labelled


def summarise(dataset: MultiLabelImages, decoded: bool = False) -> None:
    """Prints the numbers of images and labels, and the hash of the split."""
    counts = {value: int((dataset.targets == value).sum()) for value in (1, -1)}
    unknown = f", {counts[-1]:,} unknown" if counts[-1] else ""
    every = "all decoded" if decoded else "all there"
    typer.echo(
        f"{dataset.name}: {len(dataset):,} images, {every}; {len(dataset.classnames)} classes; "
        f"{counts[1]:,} labels present ({counts[1] / len(dataset):.2f} an image){unknown}; split {dataset.split_hash()}"
    )


def remedy(dataset: str, root: Path | None) -> str:
    """What to do about a picture that cannot be read."""
    if root is None:
        return "replace it, or take it off the list"
    from clipprompt.datasets.classification.specifications import SPECIFICATIONS
    from clipprompt.datasets.select import parse_named

    if (one := SPECIFICATIONS.get(dataset.partition(":")[0].lower())) is not None:
        return f"delete it; {one.next_step(str(root))}"
    specification, split = parse_named(dataset)
    return f"delete it; {specification.next_step(split, str(root))}"


def decode(dataset: MultiLabelImages, workers: int, remedy: str) -> None:
    """Decodes every picture, with a bar.

    Raises:
        UserError: naming the first that is broken, and how many there are.
    """
    from clipprompt.datasets.check import decode_all
    from clipprompt.progress import track

    outcomes = track(decode_all(dataset, workers), "Decoding", total=len(dataset), unit="images")
    broken = [error for error in outcomes if error is not None]
    if broken:
        more = f" ({len(broken):,} of {len(dataset):,} pictures are broken)" if len(broken) > 1 else ""
        raise UserError(f"{broken[0]}{more}; {remedy}")


def print_classes(dataset: MultiLabelImages) -> None:
    """Prints how many pictures have each class."""
    from rich.console import Console
    from rich.text import Text

    from clipprompt.cli._show import new_table

    table = new_table("class", "present", "unknown")
    for name, column in zip(dataset.classnames, dataset.targets.T, strict=True):
        table.add_row(Text(name), f"{int((column == 1).sum()):,}", f"{int((column == -1).sum()):,}")
    Console().print(table)

"""One line about a multi-label set."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from clipprompt.datasets import MultiLabelImages


def summarise(dataset: MultiLabelImages, decoded: bool = False) -> None:
    """Prints the numbers of images and labels, and the hash of the split."""
    counts = {value: int((dataset.targets == value).sum()) for value in (1, -1)}
    unknown = f", {counts[-1]:,} unknown" if counts[-1] else ""
    every = "all decoded" if decoded else "all there"
    typer.echo(
        f"{dataset.name}: {len(dataset):,} images, {every}; {len(dataset.classnames)} classes; "
        f"{counts[1]:,} labels present ({counts[1] / len(dataset):.2f} an image){unknown}; split {dataset.split_hash()}"
    )

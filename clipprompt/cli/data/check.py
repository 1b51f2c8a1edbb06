"""``clipprompt data check``: whether a set is whole, and what is missing."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clipprompt.cli._options import Difficult, Images, Root, SkipMissing, Workers
from clipprompt.cli.data._summary import summarise
from clipprompt.errors import UserError

if TYPE_CHECKING:
    from clipprompt.datasets import MultiLabelImages

DATA = "voc2007:test or another of `data list`, a folder of class folders, a COCO .json, or a .csv, .tsv, .jsonl table"


def check(
    dataset: Annotated[str, typer.Argument(metavar="DATA", help=DATA, show_default=False)],
    root: Root = None,
    images: Images = None,
    decode: Annotated[bool, typer.Option("--decode", help="decode every picture too: minutes for a large set")] = False,
    per_class: Annotated[bool, typer.Option("--per-class", help="print how many images have each class")] = False,
    difficult: Difficult = "unknown",
    skip_missing: SkipMissing = False,
    workers: Workers = 4,
) -> None:
    """Check that a set is whole; name the first thing that is not.

    Reads all lists and labels and looks for every picture. The summary
    counts images and labels; equal split hashes mean comparable numbers.

      clipprompt data check voc2007 --root ~/data

      clipprompt data check labels.csv --images photos --decode

      clipprompt data check photos:train
    """
    from clipprompt.datasets import load_dataset

    labelled = load_dataset(dataset, images, root=root, difficult=difficult, skip_missing=skip_missing)
    for note in labelled.notes:
        typer.echo(f"clipprompt: {note}", err=True)
    if decode:
        _decode(labelled, workers, _remedy(dataset, root))
    summarise(labelled, decode)
    if per_class:
        _print_classes(labelled)


def _remedy(dataset: str, root: Path | None) -> str:
    if root is None:
        return "replace it, or take it off the list"
    from clipprompt.datasets.select import parse_named

    specification, split = parse_named(dataset)
    return f"delete it; {specification.next_step(split, str(root))}"


def _decode(dataset: MultiLabelImages, workers: int, remedy: str) -> None:
    from clipprompt.datasets.check import decode_all
    from clipprompt.progress import track

    outcomes = track(decode_all(dataset, workers), "Decoding", total=len(dataset), unit="images")
    broken = [error for error in outcomes if error is not None]
    if broken:
        more = f" ({len(broken):,} of {len(dataset):,} pictures are broken)" if len(broken) > 1 else ""
        raise UserError(f"{broken[0]}{more}; {remedy}")


def _print_classes(dataset: MultiLabelImages) -> None:
    from rich.console import Console
    from rich.text import Text

    from clipprompt.cli._show import new_table

    table = new_table("class", "present", "unknown")
    for name, column in zip(dataset.classnames, dataset.targets.T, strict=True):
        table.add_row(Text(name), f"{int((column == 1).sum()):,}", f"{int((column == -1).sum()):,}")
    Console().print(table)

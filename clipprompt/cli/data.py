"""``clipprompt data``: what sets there are, whether one is whole, and how it gets here."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clipprompt.cli._options import Difficult, Images, Root, SkipMissing, Workers
from clipprompt.errors import UserError

if TYPE_CHECKING:
    from clipprompt.datasets import MultiLabelImages

NAME = "voc2007 or another of `data list`, with :SPLIT for another split, as in voc2007:train"
DATA = "voc2007:test or another of `data list`, a folder of class folders, a COCO .json, or a .csv, .tsv, .jsonl table"

app = typer.Typer(help="List, check and download labelled image sets.", no_args_is_help=True)


@app.callback()
def data() -> None:
    """List, check and download labelled image sets."""


@app.command("list")
def list_sets() -> None:
    """Show the named sets, their splits, and the folders that --root wants."""
    from rich.console import Console
    from rich.table import Table

    from clipprompt.datasets.specifications import SPECIFICATIONS

    table = Table(show_lines=True)
    for title in ("name", "splits (images)", "below --root"):
        table.add_column(title, overflow="fold")
    for one in SPECIFICATIONS.values():
        splits = [f"{name} ({size:,})" + (" *" if name == one.default else "") for name, size in one.splits.items()]
        table.add_row(one.name, "\n".join(splits), "\n".join(one.layout))
    console = Console()
    console.print(table)
    by_hand = ", ".join(one.name for one in SPECIFICATIONS.values() if one.by_hand)
    console.print(f"* what the bare name means. `data download` fetches all but {by_hand}.", highlight=False)


@app.command()
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
    _summarise(labelled, decode)
    if per_class:
        _print_classes(labelled)


@app.command()
def download(
    name: Annotated[str, typer.Argument(metavar="NAME", help=NAME, show_default=False)],
    root: Annotated[Path, typer.Option(metavar="FOLDER", help="where the set shall be", show_default=False)],
    mirror: Annotated[
        str | None, typer.Option(metavar="URL", help="fetch the archives from here; checked all the same")
    ] = None,
    keep_archives: Annotated[bool, typer.Option("--keep-archives", help="do not delete them when unpacked")] = False,
) -> None:
    """Fetch what is missing of a set. Run it again to go on after a break.

    Archives are checked by their MD5 sums and appear unpacked as a whole or
    not at all. A set that is whole is not fetched again.

      clipprompt data download voc2007:test --root ~/data
    """
    from clipprompt.cli._bytes import show_bytes
    from clipprompt.datasets.download import download_dataset

    try:
        with show_bytes() as report:
            labelled = download_dataset(name, root, mirror=mirror, keep_archives=keep_archives, report=report)
    except KeyboardInterrupt:
        typer.echo("clipprompt: stopped; what was fetched is kept, run this again to go on", err=True)
        raise typer.Exit(130) from None
    _summarise(labelled, False)


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


def _summarise(dataset: MultiLabelImages, decoded: bool) -> None:
    counts = {value: int((dataset.targets == value).sum()) for value in (1, -1)}
    unknown = f", {counts[-1]:,} unknown" if counts[-1] else ""
    every = "all decoded" if decoded else "all there"
    typer.echo(
        f"{dataset.name}: {len(dataset):,} images, {every}; {len(dataset.classnames)} classes; "
        f"{counts[1]:,} labels present ({counts[1] / len(dataset):.2f} an image){unknown}; split {dataset.split_hash()}"
    )


def _print_classes(dataset: MultiLabelImages) -> None:
    from rich.console import Console
    from rich.text import Text

    from clipprompt.cli._show import new_table

    table = new_table("class", "present", "unknown")
    for name, column in zip(dataset.classnames, dataset.targets.T, strict=True):
        table.add_row(Text(name), f"{int((column == 1).sum()):,}", f"{int((column == -1).sum()):,}")
    Console().print(table)

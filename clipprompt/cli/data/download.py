"""``clipprompt data download``: fetches what is missing of a named set."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from clipprompt.cli.data._labels import summarise
from clipprompt.errors import UserError

NAME = "caltech101, vtab, voc2007 or another of `data list`; of VOC and COCO with :SPLIT, as in voc2007:train"


def download(
    name: Annotated[str, typer.Argument(metavar="NAME", help=NAME, show_default=False)],
    root: Annotated[Path, typer.Option(metavar="FOLDER", help="where the set shall be", show_default=False)],
    source: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="WHERE",
            help="hub or torchvision, for sets with one class a picture",
            show_default="hub, which has the split files",
        ),
    ] = None,
    mirror: Annotated[
        str | None, typer.Option(metavar="URL", help="fetch VOC or COCO from here; checked all the same")
    ] = None,
    keep_archives: Annotated[bool, typer.Option("--keep-archives", help="do not delete them when unpacked")] = False,
) -> None:
    """Fetch what is missing of a set. Run it again to go on after a break.

    Archives are checked by their checksums and appear unpacked as a whole
    or not at all. A set that is whole is not fetched again.

      clipprompt data download caltech101 --root ~/data

      clipprompt data download voc2007:test --root ~/data
    """
    from clipprompt.datasets.classification.groups import GROUPS
    from clipprompt.datasets.classification.load import is_classification

    of_one_class = is_classification(name.partition(":")[0]) or name.lower() in GROUPS
    fetch = _download_one_class if of_one_class else _download_several
    try:
        fetch(name, root, source, mirror, keep_archives)
    except KeyboardInterrupt:
        what = "what was fetched" if source != "torchvision" else "what was fetched whole"
        typer.echo(f"clipprompt: stopped; {what} is kept, run this again to go on", err=True)
        raise typer.Exit(130) from None


def _download_one_class(name: str, root: Path, source: str | None, mirror: str | None, keep_archives: bool) -> None:
    from clipprompt.cli._bytes import show_bytes
    from clipprompt.cli.data._sets import print_one
    from clipprompt.datasets.classification.download import download_classification
    from clipprompt.datasets.classification.groups import expand_groups

    if mirror is not None:
        raise UserError(f"--mirror {mirror} is for VOC and COCO; for {name}, set HF_ENDPOINT to a mirror of the Hub")
    for one in expand_groups([name]):
        with show_bytes() as report:
            found = download_classification(one, root, source or "hub", keep_archives=keep_archives, report=report)
        print_one(found)


def _download_several(name: str, root: Path, source: str | None, mirror: str | None, keep_archives: bool) -> None:
    from clipprompt.cli._bytes import show_bytes
    from clipprompt.datasets.download import download_dataset

    if source is not None:
        raise UserError(f"--from {source} has no use with {name}; it is for sets with one class a picture")
    with show_bytes() as report:
        labelled = download_dataset(name, root, mirror=mirror, keep_archives=keep_archives, report=report)
    summarise(labelled)

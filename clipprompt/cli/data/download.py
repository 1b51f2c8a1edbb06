"""``clipprompt data download``: fetches what is missing of a named set."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from clipprompt.cli.data._summary import summarise

NAME = "voc2007 or another of `data list`, with :SPLIT for another split, as in voc2007:train"


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
    summarise(labelled)

"""``clipprompt data``: what sets there are, whether one is whole, and how it gets here."""

from __future__ import annotations

import typer

from clipprompt.cli.data.check import check
from clipprompt.cli.data.download import download
from clipprompt.cli.data.draw import draw
from clipprompt.cli.data.list import list_sets

app = typer.Typer(help="List, check, draw from and download labelled image sets.", no_args_is_help=True)
app.command("list")(list_sets)
app.command("check")(check)
app.command("download")(download)
app.command("draw")(draw)

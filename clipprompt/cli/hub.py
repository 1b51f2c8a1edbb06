"""``clipprompt push`` and ``clipprompt pull``: prompts on the Hugging Face Hub."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def push(
    folder: Annotated[Path, typer.Argument(help="a prompt folder or a complete run", show_default=False)],
    repo: Annotated[str, typer.Argument(metavar="ORG/NAME", help="repository on the Hub", show_default=False)],
    private: Annotated[bool, typer.Option("--private", help="make a new repository private")] = False,
    revision: Annotated[str | None, typer.Option(metavar="BRANCH", help="branch", show_default="main")] = None,
    message: Annotated[str | None, typer.Option("--message", "-m", metavar="TEXT", help="of the commit")] = None,
) -> None:
    """Upload a prompt to the Hugging Face Hub.

    Sent are prompt.safetensors, prompt.json, calibration.json, config.yaml
    and README.md, and nothing else; a card is written where README.md is
    missing. Local paths are cut down to their last part.

      clipprompt push runs/coco me/coco-tai-dpt --private
    """
    from clipprompt.sharing.hub import push as upload

    typer.echo(upload(folder, repo, private=private, revision=revision, message=message))


def pull(
    repo: Annotated[str, typer.Argument(metavar="ORG/NAME", help="repository on the Hub", show_default=False)],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FOLDER", help="where to", show_default="NAME")
    ] = None,
    revision: Annotated[
        str | None, typer.Option(metavar="NAME", help="branch, tag or commit", show_default="main")
    ] = None,
) -> None:
    """Download a prompt from the Hugging Face Hub.

    Only a prompt's own files are fetched, and they are checked before the
    folder appears; nothing in them is executed.

      clipprompt pull me/coco-tai-dpt -o prompts/coco
    """
    from clipprompt.learners import read_description
    from clipprompt.printable import printable
    from clipprompt.sharing.hub import pull as download

    folder = download(repo, output, revision=revision)
    found = read_description(folder)
    method, backbone = found["method"], found["backbone"]
    weights = f" {backbone['pretrained']}" if backbone.get("pretrained") else ""
    what = f"{method} on {backbone['name']}{weights}, {len(found['classnames'])} classes"
    typer.echo(printable(what), err=True)
    typer.echo(str(folder))

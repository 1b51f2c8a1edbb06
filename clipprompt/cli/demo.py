"""``clipprompt demo``: the main job on the bundled world, offline."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from clipprompt.cli._show import show_records


def demo(
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FOLDER", help="where everything goes")] = Path(
        "runs/demo"
    ),
    seeds: Annotated[str, typer.Option(metavar="LIST", help="such as 1,2,3: mean and deviation over them")] = "1",
    output_format: Annotated[str, typer.Option("--format", "-f", help="table, md, csv or json")] = "table",
) -> None:
    """Train TaI-DPT from captions alone and tag pictures with it: offline, about a minute.

    Everything is bundled: a small CLIP, the captions' grammar, and the
    pictures, which are drawn when they are scored.
    """
    from clipprompt.demo import run_demo
    from clipprompt.reports.multilabel.tables import check_format

    check_format(output_format)
    try:
        result = run_demo(output, _parse_seeds(seeds), say=lambda message: typer.echo(message, err=True))
    except KeyboardInterrupt:
        typer.echo(f"stopped; the same command goes on with what is complete in {output}", err=True)
        raise typer.Exit(130) from None
    show_records(result.records, output_format)
    for name, path in (("picture", result.picture), ("prompt", result.run), ("records", result.results)):
        typer.echo(f"{name:8} {path}", err=True)


def _parse_seeds(text: str) -> list[int]:
    from clipprompt.errors import UserError

    try:
        seeds = [int(part) for part in text.split(",")]
    except ValueError:
        raise UserError(f"--seeds {text!r} is not a list of numbers such as 1,2,3") from None
    if len(set(seeds)) < len(seeds) or min(seeds) < 0:
        raise UserError(f"--seeds {text!r}: seeds are different and not negative")
    return seeds
